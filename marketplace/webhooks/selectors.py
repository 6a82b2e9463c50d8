"""Reads about endpoints and deliveries. What belongs to another account is not found."""

from uuid import UUID

from django.db.models import Q, QuerySet

from marketplace.accounts.models import Account
from marketplace.webhooks.errors import WebhookEventNotFoundError, WebhookNotFoundError
from marketplace.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint


def endpoint_list(account: Account) -> QuerySet[WebhookEndpoint]:
    """The account's endpoints, newest first."""
    return WebhookEndpoint.objects.filter(account=account)


def endpoint_get(*, account: Account, endpoint_id: UUID) -> WebhookEndpoint:
    """Raises WebhookNotFoundError."""
    found = endpoint_list(account).filter(pk=endpoint_id).first()
    if found is None:
        raise WebhookNotFoundError("This account has no such webhook endpoint. List them to see which there are.")
    return found


def delivery_list(endpoint: WebhookEndpoint) -> QuerySet[WebhookDelivery]:
    """What the endpoint was told, or is being told, newest first."""
    return WebhookDelivery.objects.filter(endpoint=endpoint).select_related("event")


def delivery_get(*, account: Account, endpoint_id: UUID, event_id: str) -> WebhookDelivery:
    """Raises WebhookNotFoundError, WebhookEventNotFoundError."""
    endpoint = endpoint_get(account=account, endpoint_id=endpoint_id)
    found = delivery_list(endpoint).filter(event_id=event_id).first()
    if found is None:
        raise WebhookEventNotFoundError("This endpoint was told of no such event, or the log of it was deleted.")
    return found


def is_due(now: object) -> Q:
    """Deliveries that wait, whose time has come, and that nobody holds.

    Columns of the row alone: an UPDATE that finds its rows through a join could, on PostgreSQL, claim one twice.
    """
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    timely = Q(next_attempt_at=None) | Q(next_attempt_at__lte=now)
    return free & timely & Q(state=DeliveryState.PENDING)
