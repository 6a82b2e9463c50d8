"""What other code, and an administrator, may do with the outbox. The sender does the rest."""

import re
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from chain.abi import checksum
from chain.errors import EncodingError
from chain.models import OutboxAccount, OutboxOutcome, OutboxState, OutboxTransaction
from chain.outbox.errors import OutboxConflict, OutboxNotFound, OutboxNotOpen
from chain.transactions import TransactionRequest

OPERATOR = "operator"
_DATA = re.compile(r"0x([0-9a-f]{2})*")
# Sums of the last 24 hours must stay right, and a re-org must find its row.
PRUNE_LEAST = timedelta(days=2)


def transaction_enqueue(
    *, purpose: str, request: TransactionRequest, dedupe_key: str, account: str = OPERATOR
) -> OutboxTransaction:
    """Note a call to be sent, in the caller's database transaction: it is sent if and only if that commits.

    `purpose` is for people and lists. With a `dedupe_key` that was used before, nothing is added and the earlier row is
    returned, whatever became of it. `account` names the role that sends.

    Raises `EncodingError` for a deployment or data that are not hex, and `OutboxConflict` where the key stands for
    another call.
    """
    data = request.data.lower()
    if request.to is None or not _DATA.fullmatch(data):
        raise EncodingError("The outbox sends calls: a recipient, and data in hex.")
    call = {"to": checksum(request.to), "data": data, "value_wei": request.value}
    with transaction.atomic():
        sender, _ = OutboxAccount.objects.get_or_create(chain_id=request.chain_id, name=account)
        row, _ = OutboxTransaction.objects.get_or_create(
            dedupe_key=dedupe_key, defaults={"account": sender, "purpose": purpose, **call}
        )
    if row.account_id != sender.pk or any(getattr(row, name) != value for name, value in call.items()):
        raise OutboxConflict(
            f"The dedupe key {dedupe_key!r} stands for another call already. A key names one call, for ever.",
            dedupe_key=dedupe_key,
        )
    return row


def outbox_cancel(*, transaction_id: int) -> OutboxTransaction:
    """Take a call back, also one that failed: at once where it is not signed, else by a transfer of nothing with the
    same nonce.

    Whichever of the two is mined counts: a call may still be mined that was cancelled. Raises `OutboxNotFound` and
    `OutboxNotOpen`.
    """
    row = _get(transaction_id)
    now = timezone.now()
    mine = OutboxTransaction.objects.filter(pk=row.pk)
    unsigned = mine.filter(state__in=[OutboxState.QUEUED, OutboxState.FAILED])
    if unsigned.update(state=OutboxState.CANCELLED, state_at=now, outcome=OutboxOutcome.CANCELLED) != 1:
        signed = mine.filter(state=OutboxState.SIGNED, cancel_requested_at=None)
        if signed.update(cancel_requested_at=now) != 1 and not mine.filter(state=OutboxState.SIGNED).exists():
            raise _not_open(row, "cancelled")
    row.refresh_from_db()
    return row


def outbox_retry(*, transaction_id: int) -> OutboxTransaction:
    """Send again what failed, was reverted or was cancelled; try at once what waits. The row that will be sent.

    What was on chain stays as it was and gets a successor. Raises `OutboxNotFound` and `OutboxNotOpen`.
    """
    row = _get(transaction_id)
    mine = OutboxTransaction.objects.filter(pk=row.pk)
    never_signed = mine.filter(state__in=[OutboxState.FAILED, OutboxState.QUEUED])
    fresh = {"state": OutboxState.QUEUED, "state_at": timezone.now(), "tries": 0, "not_before": None}
    if never_signed.update(**fresh) == 1:
        row.refresh_from_db()
        return row
    ended = row.state in (OutboxState.FINAL, OutboxState.CANCELLED) and row.outcome != OutboxOutcome.SUCCEEDED
    if not ended:
        raise _not_open(row, "sent again")
    request = TransactionRequest(row.account.chain_id, row.to, row.data, row.value_wei)
    key = f"again:{row.pk}"
    return transaction_enqueue(purpose=row.purpose, request=request, dedupe_key=key, account=row.account.name)


def outbox_prune(*, older_than: timedelta) -> int:
    """Delete what ended longer ago; returns how many. Their dedupe keys are forgotten with them."""
    until = timezone.now() - max(older_than, PRUNE_LEAST)
    ended = OutboxTransaction.objects.filter(state__in=[OutboxState.FINAL, OutboxState.CANCELLED], state_at__lt=until)
    return ended.delete()[1].get(OutboxTransaction._meta.label, 0)


def _get(transaction_id: int) -> OutboxTransaction:
    row = OutboxTransaction.objects.select_related("account").filter(pk=transaction_id).first()
    if row is None:
        raise OutboxNotFound(f"The outbox has no transaction {transaction_id}.")
    return row


def _not_open(row: OutboxTransaction, what: str) -> OutboxNotOpen:
    row.refresh_from_db()
    return OutboxNotOpen(f"Transaction {row.pk} is {row.state} and cannot be {what}.", state=row.state)
