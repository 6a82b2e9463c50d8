"""Endpoints of an account: make, change, switch on and off, give a new secret, delete."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from marketplace.accounts.models import Account
from marketplace.payload_keys import payload_keys
from marketplace.webhooks.errors import WebhookLimitError
from marketplace.webhooks.models import DeliveryState, EventKind, WebhookDelivery, WebhookEndpoint
from marketplace.webhooks.selectors import endpoint_get
from marketplace.webhooks.sending import outgoing_client
from marketplace.webhooks.signatures import secret_make, secret_reseal, secret_seal

ENDPOINTS_PER_ACCOUNT = 10
# How long the old secret signs beside a new one.
OVERLAP = timedelta(hours=24)
OFF_BY_OWNER = "Switched off by its owner."


def endpoint_create(
    *, account: Account, url: str, kinds: Sequence[str] = (), description: str = ""
) -> tuple[WebhookEndpoint, str]:
    """An endpoint for the kinds of events named, or for all, and its secret, which is shown once.

    Raises OutgoingUrlError, OutgoingRefusedError, WebhookLimitError.
    """
    outgoing_client().url_check(url)
    secret = secret_make()
    with transaction.atomic():
        # The lock makes the limit hold when endpoints are made at the same time.
        Account.objects.select_for_update().get(pk=account.pk)
        if WebhookEndpoint.objects.filter(account=account).count() >= ENDPOINTS_PER_ACCOUNT:
            raise WebhookLimitError(
                f"An account may have {ENDPOINTS_PER_ACCOUNT} webhook endpoints. Delete one first.",
                limit=ENDPOINTS_PER_ACCOUNT,
            )
        endpoint = WebhookEndpoint.objects.create(
            account=account, url=url, description=description, kinds=_kinds(kinds), secret=secret_seal(secret)
        )
    return endpoint, secret


def endpoint_change(
    *,
    account: Account,
    endpoint_id: UUID,
    url: str | None = None,
    kinds: Sequence[str] | None = None,
    description: str | None = None,
    is_enabled: bool | None = None,
) -> WebhookEndpoint:
    """Change what is given. Switching on forgets the failures before; what was given up stays given up until resent.

    Raises WebhookNotFoundError, OutgoingUrlError, OutgoingRefusedError.
    """
    endpoint = endpoint_get(account=account, endpoint_id=endpoint_id)
    changes: dict[str, object] = {}
    if url is not None:
        outgoing_client().url_check(url)
        changes["url"] = url
    if kinds is not None:
        changes["kinds"] = _kinds(kinds)
    if description is not None:
        changes["description"] = description
    if is_enabled:
        changes |= {"disabled_at": None, "disabled_reason": "", "failing_since": None}
    if changes:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changes)
    if is_enabled is False:
        endpoint_disable(endpoint, OFF_BY_OWNER)
    endpoint.refresh_from_db()
    return endpoint


def endpoint_disable(endpoint: WebhookEndpoint, reason: str) -> None:
    """Send nothing more there; what waits is given up. An endpoint that is off keeps its first reason."""
    with transaction.atomic():
        on = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
        if on.update(disabled_at=timezone.now(), disabled_reason=reason) == 1:
            waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING)
            waiting.update(state=DeliveryState.FAILED, lease_token=None, lease_until=None)


def endpoint_secret_rotate(*, account: Account, endpoint_id: UUID) -> tuple[WebhookEndpoint, str]:
    """A new secret, shown once. For `OVERLAP` the old one signs too. Raises WebhookNotFoundError."""
    endpoint = endpoint_get(account=account, endpoint_id=endpoint_id)
    secret = secret_make()
    with transaction.atomic():
        row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
        row.previous_secret, row.secret = row.secret, secret_seal(secret)
        row.previous_until = timezone.now() + OVERLAP
        row.save(update_fields=["previous_secret", "secret", "previous_until"])
    return row, secret


def endpoint_delete(*, account: Account, endpoint_id: UUID) -> None:
    """Delete an endpoint with its log. Raises WebhookNotFoundError."""
    endpoint_get(account=account, endpoint_id=endpoint_id).delete()


def secrets_reseal() -> int:
    """Bring secrets that an older payload key sealed under the first one. Returns how many.

    Each by a conditional UPDATE: one that is rotated meanwhile is left to the next round. What no key opens stays as it
    is.
    """
    if len(payload_keys()) == 1:
        return 0
    count = 0
    for field in ("secret", "previous_secret"):
        kept = WebhookEndpoint.objects.exclude(**{field: None}).order_by().values_list("pk", field)
        for pk, sealed in list(kept):
            if (renewed := secret_reseal(sealed)) is not None:
                count += WebhookEndpoint.objects.filter(**{"pk": pk, field: sealed}).update(**{field: renewed})
    return count


def _kinds(kinds: Sequence[str]) -> list[str]:
    known = [str(kind) for kind in EventKind.values]
    if set(kinds) - set(known):
        raise ValueError(f"kinds must be among {known}")
    return [kind for kind in known if not kinds or kind in kinds]
