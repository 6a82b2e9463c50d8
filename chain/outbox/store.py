"""The sender's writes. Each is one transaction that begins by checking the lease's token on the account's row.

On PostgreSQL that first UPDATE locks the row until the commit; on SQLite transactions begin IMMEDIATE. Each move of a
transaction is an UPDATE on the condition that it still is where it was read, and must change one row: an administrator
may have cancelled it meanwhile.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain.errors import LeaseLost
from chain.models import OutboxAccount, OutboxAttempt, OutboxOutcome, OutboxState, OutboxTransaction
from chain.outbox.chain_reads import Mined
from chain.outbox.errors import OutboxHeld, OutboxMoved
from chain.signing.protocol import TransactionFields
from chain.signing.raw import raw_hash

logger = logging.getLogger(__name__)

HOLD_MAX_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for one account."""

    account_id: int
    token: int


@contextmanager
def fenced(lease: Lease) -> Iterator[None]:
    """A transaction of the lease's holder. Raises `LeaseLost` where that is somebody else by now."""
    with transaction.atomic():
        mine = OutboxAccount.objects.filter(pk=lease.account_id, lease_token=lease.token).exclude(lease_owner="")
        if mine.update(seen_at=timezone.now()) != 1:
            raise LeaseLost("Another sender took over; this one stands by.")
        yield


def reading_set(lease: Lease, *, address: str, balance_wei: int) -> None:
    with fenced(lease):
        _account(lease).update(
            address=address,
            balance_wei=balance_wei,
            balance_at=timezone.now(),
            error_code="",
            error_message="",
        )


def alarm_set(lease: Lease, held: OutboxHeld | None) -> None:
    """Say why the sender waits. Logged once as an error, and once when it is over, across restarts."""
    code, message = (held.code, held.message) if held else ("", "")
    with fenced(lease):
        before = _account(lease).values_list("alarm_code", flat=True).get()
        values: dict[str, Any] = {"alarm_code": code, "alarm_message": message}
        if code != before:
            values["alarm_at"] = timezone.now()
        _account(lease).update(**values)
    if code and code != before:
        logger.error("%s (%s)", message, code)
    elif before and not code:
        logger.info("What held the sender back is over: %s.", before)


def error_report(*, chain_id: int, name: str, token: int | None, error: Exception) -> None:
    """Say what stopped a round. Without effect where another sender holds the lease."""
    code, message = "internal", "The sender failed; its log has the reason."
    if isinstance(error, WeighhouseError):
        code, message = error.code, error.message
    account, _ = OutboxAccount.objects.get_or_create(chain_id=chain_id, name=name)
    mine = {"lease_owner": ""} if token is None else {"lease_token": token}
    OutboxAccount.objects.filter(pk=account.pk, **mine).update(
        error_code=code, error_message=message, error_at=timezone.now()
    )


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that is about to be kept. `head` is the newest block's number."""

    fields: TransactionFields
    raw: str
    sender: str
    is_cancel: bool
    head: int


def signature_keep(lease: Lease, row: OutboxTransaction, signed: Signed) -> OutboxAttempt:
    """Keep a signature before anybody is shown it; the first one gives the transaction its nonce.

    Raises `OutboxMoved` where the row was cancelled meanwhile, or replaced.
    """
    tx_hash = raw_hash(signed.raw)
    values: dict[str, Any] = {"tx_hash": tx_hash}
    if row.state == OutboxState.QUEUED:
        values |= {"state": OutboxState.SIGNED, "state_at": timezone.now(), "sender": signed.sender}
        values |= {"nonce": signed.fields.nonce, "signed_block": signed.head, "reason": "", "reason_code": ""}
    with fenced(lease):
        _move(row, **values)
        attempt = OutboxAttempt.objects.create(
            transaction=row,
            hash=tx_hash,
            raw=signed.raw,
            nonce=signed.fields.nonce,
            is_cancel=signed.is_cancel,
            max_fee_wei=signed.fields.max_fee_wei,
            tip_wei=signed.fields.tip_wei,
            gas=signed.fields.gas,
            value_wei=signed.fields.value_wei,
        )
        fault_point("outbox.in_persist")
    row.refresh_from_db()
    return attempt


def sent_mark(lease: Lease, attempt: OutboxAttempt, *, is_underpriced: bool) -> None:
    with fenced(lease):
        OutboxAttempt.objects.filter(pk=attempt.pk).update(sent_at=timezone.now(), is_underpriced=is_underpriced)


def mined_set(
    lease: Lease, row: OutboxTransaction, mined: Mined, *, attempt: OutboxAttempt, reason: tuple[str, str]
) -> None:
    """Note the block that holds one of the attempts; also where it is another block than before."""
    outcome = OutboxOutcome.SUCCEEDED if mined.succeeded else OutboxOutcome.REVERTED
    if attempt.is_cancel:
        outcome = OutboxOutcome.CANCELLED
    moved_wei = attempt.value_wei if mined.succeeded else 0
    with fenced(lease):
        _move(
            row,
            state=OutboxState.MINED,
            state_at=timezone.now(),
            outcome=outcome,
            tx_hash=mined.tx_hash,
            block_number=mined.block_number,
            block_hash=mined.block_hash,
            cost_wei=mined.fee_wei + moved_wei,
            reason_code=reason[0],
            reason=reason[1],
        )
        fault_point("outbox.in_mined")


def mined_undo(lease: Lease, row: OutboxTransaction) -> None:
    """A re-org took the block away. The same signature is sent again."""
    with fenced(lease):
        _move(
            row,
            state=OutboxState.SIGNED,
            state_at=timezone.now(),
            outcome=OutboxOutcome.NONE,
            block_number=None,
            block_hash="",
            cost_wei=None,
            reason_code="",
            reason="",
        )


def final_set(lease: Lease, row: OutboxTransaction) -> None:
    state = OutboxState.CANCELLED if row.outcome == OutboxOutcome.CANCELLED else OutboxState.FINAL
    with fenced(lease):
        _move(row, state=state, state_at=timezone.now())


def hold_set(lease: Lease, row: OutboxTransaction, error: WeighhouseError, *, hold_s: float, tries: int | None) -> None:
    """The call would fail now, or the signer refuses it: try later, and give up after that many `tries`."""
    failed = tries is not None and row.tries + 1 >= tries
    wait = timedelta(seconds=min(hold_s * 2.0 ** min(row.tries, 20), HOLD_MAX_S))
    now = timezone.now()
    with fenced(lease):
        _move(
            row,
            tries=row.tries + 1,
            not_before=None if failed else now + wait,
            reason_code=error.code,
            reason=error.message,
            **({"state": OutboxState.FAILED, "state_at": now} if failed else {}),
        )
    level = logging.ERROR if failed else logging.WARNING
    what = "failed for good" if failed else f"is held for {wait.total_seconds():.0f} s"
    logger.log(level, "Transaction %d (%s) %s: %s", row.pk, row.purpose, what, error.message)


def reason_set(lease: Lease, row: OutboxTransaction, error: WeighhouseError) -> None:
    """Say at the transaction what it waits for. Logged when it changes."""
    if (row.reason_code, row.reason) == (error.code, error.message):
        return
    with fenced(lease):
        _move(row, reason_code=error.code, reason=error.message)
    logger.warning("Transaction %d (%s): %s (%s)", row.pk, row.purpose, error.message, error.code)


def nonce_give_up(lease: Lease, row: OutboxTransaction, error: WeighhouseError) -> None:
    """None of the attempts can be mined any more: begin again, or end where a cancellation was asked for."""
    values: dict[str, Any] = {"state": OutboxState.QUEUED, "not_before": None}
    if row.cancel_requested_at is not None:
        values = {"state": OutboxState.CANCELLED, "outcome": OutboxOutcome.CANCELLED}
    with fenced(lease):
        _move(
            row,
            nonce=None,
            tx_hash="",
            state_at=timezone.now(),
            reason_code=error.code,
            reason=error.message,
            **values,
        )


def attempt_adopt(lease: Lease, row: OutboxTransaction, *, tx_hash: str, gas: int, fees: tuple[int, int]) -> None:
    """The call is on chain under a hash that this site has no record of: count it."""
    with fenced(lease):
        OutboxAttempt.objects.create(
            transaction=row,
            hash=tx_hash,
            nonce=row.nonce or 0,
            max_fee_wei=fees[0],
            tip_wei=fees[1],
            gas=gas,
            value_wei=row.value_wei,
            sent_at=timezone.now(),
        )


def _move(row: OutboxTransaction, **values: Any) -> None:
    there = OutboxTransaction.objects.filter(
        pk=row.pk, state=row.state, tx_hash=row.tx_hash, block_hash=row.block_hash, tries=row.tries
    )
    if there.update(**values) != 1:
        raise OutboxMoved(f"Transaction {row.pk} was moved by somebody else.")


def _account(lease: Lease) -> Any:
    return OutboxAccount.objects.filter(pk=lease.account_id)
