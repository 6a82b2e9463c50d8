"""What the account spent within the last 24 hours, and what it may still have to."""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from chain.models import OutboxAccount, OutboxState, OutboxTransaction
from chain.outbox.limits import SPEND_WINDOW


def worst_wei(row: OutboxTransaction) -> int:
    """The most that a signed transaction may still cost: at most one of its attempts is mined."""
    return max((attempt.worst_wei for attempt in row.attempts.all() if attempt.nonce == row.nonce), default=0)


def spent_wei(account: OutboxAccount, *, now: datetime | None = None) -> int:
    """Of everything with a signature of the last 24 hours: the cost where it is mined, the worst case where not."""
    since = (now or timezone.now()) - SPEND_WINDOW
    recent = account.transactions.filter(attempts__signed_at__gt=since).distinct()
    costs = recent.exclude(cost_wei=None).values_list("pk", "cost_wei")
    return sum(int(cost or 0) for _, cost in costs) + open_wei(
        recent.filter(state=OutboxState.SIGNED, cost_wei=None).prefetch_related("attempts")
    )


def open_wei(rows: Iterable[OutboxTransaction]) -> int:
    """The worst case of what is signed and in no block."""
    return sum(worst_wei(row) for row in rows if row.state == OutboxState.SIGNED)
