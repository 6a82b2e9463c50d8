"""One attempt of a worker at one delivery."""

import random
import threading
import time
import uuid
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from weighhouse.core.faults import fault_point

from chain.outgoing import OutgoingError
from marketplace.accounts.models import Account
from marketplace.webhooks.errors import WebhookDisabledError, WebhookSecretLostError
from marketplace.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from marketplace.webhooks.selectors import delivery_get, is_due
from marketplace.webhooks.sending import outgoing_client
from marketplace.webhooks.services.endpoints import endpoint_disable
from marketplace.webhooks.services.events import AT_ONCE, deliveries_next, webhooks_sweep
from marketplace.webhooks.signatures import headers_signed, secret_open

# Seconds before each further attempt: nine in all, over about a day.
DELAYS_S = (5, 60, 300, 1800, 7200, 18_000, 25_200, 32_400)
_JITTER = 0.1
# The exchange has a limit of its own; the rest is for the resolver and the database.
_LEASE_MARGIN_S = 60
_LOG_ENTRIES = 20
_GONE = 410
# Jobs and chores share the threads of a worker: receivers that answer slowly hold up no more of them than these.
_senders = threading.BoundedSemaphore(settings.WEBHOOK_SENDERS)


def delivery_send(*, delivery_id: int) -> bool:
    """Send a delivery that is due, once. Returns whether the receiver took it.

    1. Claim it: one conditional UPDATE with a lease. Somebody else's is left alone, and so is one of an account that
       has as many under way as it may.
    2. Sign the stored body with the endpoint's secrets and send it. Every attempt carries the same id. Where no secret
       opens, nothing is sent, and the attempt has failed.
    3. Note the outcome, only while the lease holds. A status of 2xx is success; 410 switches the endpoint off; anything
       else is tried again by `DELAYS_S`, then given up.
    A worker that dies in between leaves a lease that passes; the delivery is then sent again, under the same id.
    A process has `WEBHOOK_SENDERS` exchanges under way; what comes beyond them is left to the next sweep.
    """
    if not _senders.acquire(blocking=False):
        WebhookDelivery.objects.filter(pk=delivery_id).update(announced_at=None)
        return False
    try:
        return _send(delivery_id)
    finally:
        _senders.release()


def delivery_resend(*, account: Account, endpoint_id: UUID, event_id: str) -> WebhookDelivery:
    """Begin another round of attempts, at once, under the same id; one that is under way is left alone.

    Raises WebhookNotFoundError, WebhookEventNotFoundError, WebhookDisabledError.
    """
    delivery = delivery_get(account=account, endpoint_id=endpoint_id, event_id=event_id)
    if not delivery.endpoint.is_enabled:
        raise WebhookDisabledError("This endpoint is switched off. Switch it on, then send again.")
    now = timezone.now()
    rows = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(lease_until__gt=now)
    rows.update(state=DeliveryState.PENDING, attempts=0, next_attempt_at=None, announced_at=None, lease_token=None)
    webhooks_sweep()
    delivery.refresh_from_db()
    return delivery


def _send(delivery_id: int) -> bool:
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    fault_point("webhook.claimed")
    entry, status = _attempt(delivery)
    fault_point("webhook.sent")
    if taken := status is not None and 200 <= status < 300:
        taken = _delivered(delivery, entry)
    else:
        _not_delivered(delivery, entry)
        _endpoint_suffers(delivery.endpoint, is_gone=status == _GONE)
    deliveries_next(account_id=delivery.event.account_id)
    return taken


def _claim(delivery_id: int) -> WebhookDelivery | None:
    now = timezone.now()
    rows = WebhookDelivery.objects.filter(is_due(now), pk=delivery_id)
    found = rows.select_related("endpoint", "event").first()
    if found is None or not found.endpoint.is_enabled:
        return None
    # Who holds a lease is pending; the state is named for the index.
    under_way = WebhookDelivery.objects.filter(state=DeliveryState.PENDING, lease_until__gt=now)
    if under_way.filter(event__account=found.event.account_id).count() >= AT_ONCE:
        WebhookDelivery.objects.filter(pk=delivery_id).update(announced_at=None)
        return None
    token = uuid.uuid4()
    lease_until = now + timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + _LEASE_MARGIN_S)
    if rows.update(lease_token=token, lease_until=lease_until, attempts=F("attempts") + 1) != 1:
        return None
    found.lease_token, found.attempts = token, found.attempts + 1
    return found


def _attempt(delivery: WebhookDelivery) -> tuple[dict[str, Any], int | None]:
    """The log's entry and the status, `None` where there was no answer."""
    at, began = timezone.now(), time.monotonic()
    status, error = None, None
    try:
        status = _exchange(delivery, at)
    except (OutgoingError, WebhookSecretLostError) as failure:
        error = {"code": failure.code, "message": failure.message}
    took_ms = round((time.monotonic() - began) * 1000)
    return {"at": at.isoformat(), "status": status, "error": error, "took_ms": took_ms}, status


def _exchange(delivery: WebhookDelivery, at: datetime) -> int:
    """The status of the answer. Raises OutgoingError, WebhookSecretLostError."""
    body, secrets = delivery.event.body.encode(), _secrets(delivery.endpoint)
    headers = headers_signed(event_id=delivery.event_id, timestamp=int(at.timestamp()), body=body, secrets=secrets)
    return outgoing_client().post(delivery.endpoint.url, body, headers).status


def _secrets(endpoint: WebhookEndpoint) -> list[str]:
    """One at least: what is not signed is not sent. Raises WebhookSecretLostError."""
    sealed = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > timezone.now():
        sealed.append(endpoint.previous_secret)
    opened = [secret for secret in map(secret_open, sealed) if secret is not None]
    if not opened:
        raise WebhookSecretLostError(
            "Nothing was sent: the site cannot read this endpoint's secret any more. Give the endpoint a new secret."
        )
    return opened


def _note(delivery: WebhookDelivery, entry: dict[str, Any], **changes: Any) -> bool:
    held = WebhookDelivery.objects.filter(pk=delivery.pk, lease_token=delivery.lease_token)
    log = [*delivery.log, entry][-_LOG_ENTRIES:]
    return held.update(log=log, lease_token=None, lease_until=None, **changes) == 1


def _delivered(delivery: WebhookDelivery, entry: dict[str, Any]) -> bool:
    WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).exclude(failing_since=None).update(failing_since=None)
    return _note(delivery, entry, state=DeliveryState.DELIVERED, delivered_at=timezone.now())


def _not_delivered(delivery: WebhookDelivery, entry: dict[str, Any]) -> None:
    if delivery.attempts > len(DELAYS_S):
        _note(delivery, entry, state=DeliveryState.FAILED)
        return
    delay = DELAYS_S[delivery.attempts - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311
    _note(delivery, entry, next_attempt_at=timezone.now() + timedelta(seconds=delay), announced_at=None)


def _endpoint_suffers(endpoint: WebhookEndpoint, *, is_gone: bool) -> None:
    now = timezone.now()
    WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=now)
    if is_gone:
        endpoint_disable(endpoint, "The receiver answered 410: it is gone, and wants nothing more.")
        return
    since = now - timedelta(seconds=settings.WEBHOOK_DISABLE_AFTER_S)
    if WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since__lt=since).exists():
        hours = settings.WEBHOOK_DISABLE_AFTER_S // 3600
        endpoint_disable(
            endpoint, f"Every delivery of {hours} hours failed. Mend what their log says, then switch it on."
        )
