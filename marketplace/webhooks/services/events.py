"""From what happened to deliveries that wait, and from those to the workers."""

import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from chain.prepared import Prepared
from marketplace.celery import app as celery_app
from marketplace.webhooks.models import DeliveryState, EventKind, WebhookDelivery, WebhookEndpoint, WebhookEvent
from marketplace.webhooks.selectors import is_due

logger = logging.getLogger(__name__)

SEND_TASK = "marketplace.webhooks.tasks.webhook_send"
# A delivery whose message may have been lost is announced again after this long; a message too many does no harm.
REDELIVER_AFTER = timedelta(seconds=60)
# What one account may have under way, less than a process sends at once: slow receivers hold up their owner's alone.
AT_ONCE = 2
_ENDPOINTS_PER_ROUND = 200


def event_record(*, account_id: Any, kind: EventKind, subject: uuid.UUID, data: dict[str, Any]) -> None:
    """Write an event and its deliveries, in the caller's transaction: it happened if and only if this is there.

    Nothing is written where no endpoint of the account wants the kind. `data` has ids and states, never a payload.
    """
    wanted = _enabled.rows(account_id=account_id)
    endpoints = [endpoint for endpoint in wanted if kind in endpoint.kinds]
    if not endpoints:
        return
    now = timezone.now()
    body = orjson.dumps({"type": kind, "timestamp": now.isoformat(), "data": data}).decode()
    event = WebhookEvent.objects.create(
        id=f"evt_{uuid.uuid4().hex}", account_id=account_id, kind=kind, subject=str(subject), body=body, created_at=now
    )
    deliveries = [WebhookDelivery(event=event, endpoint=endpoint) for endpoint in endpoints]
    for delivery in deliveries:
        delivery.save(force_insert=True)
    numbers = [delivery.pk for delivery in deliveries]
    transaction.on_commit(lambda: _announce(numbers))


@Prepared
def _enabled(account_id: Any) -> QuerySet[WebhookEndpoint]:
    return WebhookEndpoint.objects.filter(account_id=account_id, disabled_at=None)


def webhooks_sweep() -> None:
    """Announce what is due and nobody was told of lately. Any number may run at once.

    Of each endpoint a few, so that one with a thousand waiting does not stand in everybody's way.
    """
    now = timezone.now()
    due = WebhookDelivery.objects.filter(is_due(now), _is_forgotten(now), endpoint__disabled_at=None)
    waiting = due.order_by().values("endpoint_id").annotate(oldest=Min("event__created_at")).order_by("oldest")
    endpoints = list(waiting.values_list("endpoint_id", flat=True)[:_ENDPOINTS_PER_ROUND])
    due = due.order_by("next_attempt_at")
    for endpoint_id in endpoints:
        _announce_forgotten(due.filter(endpoint_id=endpoint_id), now)


def deliveries_next(*, account_id: Any) -> None:
    """Announce what of an account waits since it had as many under way as it may."""
    now = timezone.now()
    due = WebhookDelivery.objects.filter(
        is_due(now), _is_forgotten(now), endpoint__disabled_at=None, event__account=account_id
    )
    _announce_forgotten(due.order_by("pk"), now)


def events_purge() -> int:
    """Delete events, with the log of their deliveries, whose time is over. Returns how many.

    What waits stays, unless its endpoint was deleted or switched off as the event was written: it would for ever.
    """
    before = timezone.now() - timedelta(seconds=settings.WEBHOOK_LOG_RETENTION_S)
    waiting = WebhookDelivery.objects.filter(state=DeliveryState.PENDING, endpoint__disabled_at=None).values("event_id")
    old = WebhookEvent.objects.filter(created_at__lt=before).exclude(pk__in=waiting)
    count = old.count()
    old.delete()
    return count


def _announce_forgotten(due: QuerySet[WebhookDelivery], now: datetime) -> None:
    for pk in list(due.values_list("pk", flat=True)[:AT_ONCE]):
        if WebhookDelivery.objects.filter(_is_forgotten(now), pk=pk).update(announced_at=now) == 1:
            _announce([pk])


def _is_forgotten(now: datetime) -> Q:
    return Q(announced_at=None) | Q(announced_at__lt=now - REDELIVER_AFTER)


def _announce(delivery_ids: list[int]) -> None:
    """Tell the workers. A broker that is away loses nothing: `webhooks_sweep` tells them later."""
    for delivery_id in delivery_ids:
        try:
            celery_app.send_task(SEND_TASK, args=[delivery_id])
        except OperationalError as error:
            logger.warning("Delivery %s waits for the broker: %s", delivery_id, error)
