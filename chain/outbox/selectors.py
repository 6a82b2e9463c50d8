"""What pages and commands may read of the outbox. The database alone is asked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from chain.models import OutboxAccount, OutboxState, OutboxTransaction
from chain.outbox.services import OPERATOR
from chain.outbox.spend import spent_wei

# A round takes seconds; silence for longer than this means that no sender runs.
SILENCE_LIMIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """How the sending goes. Money is in wei; `cap_wei` 0 is no cap, `balance_wei` None was never read.

    `alarm_code` says which limit of the operator's holds the sender back, `error_code` what went wrong last. `ok` is
    false whenever somebody should look.
    """

    address: str
    queued: int
    held: int
    in_flight: int
    failed: int
    oldest_at: datetime | None
    spent_wei: int
    cap_wei: int
    balance_wei: int | None
    balance_at: datetime | None
    seen_at: datetime | None
    alarm_code: str
    alarm_message: str
    error_code: str
    error_message: str
    error_at: datetime | None
    ok: bool


def outbox_status(*, account: str = OPERATOR) -> OutboxStatus:
    """The state of a role's account on the site's chain; of one that never was, an empty one."""
    row = OutboxAccount.objects.filter(chain_id=settings.CHAIN_ID, name=account).first()
    row = row or OutboxAccount(chain_id=settings.CHAIN_ID, name=account)
    queued, held, in_flight, failed, oldest_at = _counts(row)
    error_code, error_message = row.error_code, row.error_message
    waiting = queued + in_flight > 0
    if not error_code and waiting and (row.seen_at is None or timezone.now() - row.seen_at > SILENCE_LIMIT):
        error_code, error_message = "outbox.sender_silent", "No sender runs. Start `manage.py send_transactions`."
    return OutboxStatus(
        address=row.address,
        queued=queued,
        held=held,
        in_flight=in_flight,
        failed=failed,
        oldest_at=oldest_at,
        spent_wei=spent_wei(row) if row.pk else 0,
        cap_wei=settings.OPERATOR_DAILY_SPEND_WEI,
        balance_wei=row.balance_wei,
        balance_at=row.balance_at,
        seen_at=row.seen_at,
        alarm_code=row.alarm_code,
        alarm_message=row.alarm_message,
        error_code=error_code,
        error_message=error_message,
        error_at=row.error_at,
        ok=not (row.alarm_code or error_code or failed),
    )


def outbox_list(*, account: str = OPERATOR, state: str = "") -> QuerySet[OutboxTransaction]:
    """A role's transactions on the site's chain, the newest first."""
    rows = OutboxTransaction.objects.filter(account__chain_id=settings.CHAIN_ID, account__name=account)
    return (rows.filter(state=state) if state else rows).order_by("-pk")


def outbox_get(*, dedupe_key: str) -> OutboxTransaction | None:
    """What became of a cause's transaction."""
    return OutboxTransaction.objects.filter(dedupe_key=dedupe_key).first()


def _counts(account: OutboxAccount) -> tuple[int, int, int, int, datetime | None]:
    """Queued, of these held, signed and in no block, failed, and since when the oldest of the first three waits."""
    if account.pk is None:
        return 0, 0, 0, 0, None
    rows = account.transactions
    queued = rows.filter(state=OutboxState.QUEUED)
    waiting = rows.filter(Q(state=OutboxState.QUEUED) | Q(state=OutboxState.SIGNED))
    return (
        queued.count(),
        queued.exclude(not_before=None).count(),
        rows.filter(state=OutboxState.SIGNED).count(),
        rows.filter(state=OutboxState.FAILED).count(),
        waiting.aggregate(oldest=Min("created_at"))["oldest"],
    )
