"""What a finding of `chain.tracking` makes of an order."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from chain import selectors as chain
from chain.gateway.errors import REVERTED
from chain.sent import SentTransaction
from chain.tracking import Fate, Finding
from marketplace.orders.models import Order, OrderState
from marketplace.orders.services.matching import call_fulfils, order_match_indexed

# A wallet may wait this long for its owner.
ABANDONED_AFTER = timedelta(minutes=30)
# How many nonces that turn out to be other transactions' are passed before an order is no longer looked for by nonce.
NONCES_PASSED_MAX = 8

Changes = dict[str, Any]

_SAME_NAMES = {
    Fate.DROPPED: OrderState.DROPPED,
    Fate.REORGED: OrderState.REORGED,
    Fate.UNKNOWN: OrderState.UNKNOWN,
}


def finding_apply(*, order: Order, finding: Finding | None, now: datetime, stamp: str = "checked_at") -> None:
    """Store where the order's transaction is. No finding changes nothing but the time of the question, in `stamp`.

    The indexer may have seen the log meanwhile, and it is right: an order with an event is left alone.
    """
    changes = {} if finding is None else _changes(order, finding, now)
    was_in = order.block_hash
    try:
        with transaction.atomic():
            _store(order, {**changes, stamp: now})
    except IntegrityError:
        # Another order took the hash at this moment. The next round looks again.
        _store(order, {stamp: now})
    order.refresh_from_db()
    if order.event_id is None and (order.followed_state == OrderState.MINED or order.replaced_by):
        _index_ask(order, was_in=was_in)


def _store(order: Order, changes: Changes) -> None:
    # What an account tells or takes back meanwhile changes the hash, and is not answered by this finding.
    Order.objects.filter(pk=order.pk, event=None, tx_hash=order.tx_hash, nonce=order.nonce).update(**changes)


def _index_ask(order: Order, *, was_in: str) -> None:
    """Tie the order to its log, or say that the index read its block and found none.

    Only of a block that held it at the last question too: where a re-org moved it, the index may be on the old branch.
    """
    next_block = chain.chain_status().next_block
    if order_match_indexed(order) or order.followed_state != OrderState.MINED or was_in != order.block_hash:
        return
    if next_block is not None and order.block_number is not None and next_block > order.block_number:
        Order.objects.filter(pk=order.pk, event=None).update(followed_state=OrderState.UNMATCHED)


def _changes(order: Order, finding: Finding, now: datetime) -> Changes:
    learned = transaction_learned(order, finding.transaction, now) if finding.transaction and order.tx_hash else {}
    match finding.fate:
        case Fate.WAITING:
            more = {}
        case Fate.PENDING:
            more = _pending(order, now)
        case Fate.MINED | Fate.REVERTED:
            more = _in_block(order, finding)
        case Fate.REPLACED | Fate.CANCELLED:
            more = _replaced(order, finding)
        case Fate.FREE:
            more = _free(order, now)
        case Fate.FOUND:
            more = _found(order, finding)
        case fate:
            more = _gone(order, _SAME_NAMES[fate], now)
    return learned | more


def transaction_learned(order: Order, sent: SentTransaction, now: datetime) -> Changes:
    """What the node told of the transaction itself. The nonce of another sender's says nothing about the account."""
    is_own = sent.sender == order.account.address
    return {
        "sender": sent.sender,
        "nonce": sent.nonce if is_own else None,
        "is_nonce_certain": True,
        "call_hash": sent.call_hash,
        "known_at": now,
    }


def _pending(order: Order, now: datetime) -> Changes:
    if order.tx_hash is None:
        # A transaction with this nonce waits for a block; which one, the block will tell.
        return {"known_at": now}
    return {"followed_state": OrderState.PENDING, "error": None, "replaced_by": "", "known_at": now}


def _gone(order: Order, state: OrderState, now: datetime) -> Changes:
    if order.tx_hash is None and now - order.created_at < ABANDONED_AFTER:
        # Its wallet may still wait for its owner.
        return {}
    return {"followed_state": state, "error": None, "replaced_by": ""}


def _in_block(order: Order, finding: Finding) -> Changes:
    place = finding.place
    changes: Changes = {"replaced_by": ""}
    if place is not None:
        changes |= {"block_number": place.number, "block_hash": place.hash}
    if finding.fate == Fate.MINED:
        is_known = order.followed_state == OrderState.UNMATCHED and place and order.block_hash == place.hash
        return changes | {"followed_state": OrderState.UNMATCHED if is_known else OrderState.MINED, "error": None}
    return changes | {"followed_state": OrderState.REVERTED, **({"error": _error(finding)} if finding.reason else {})}


def _error(finding: Finding) -> dict[str, Any]:
    message = f"The contract refused the transaction: {finding.reason} Nothing changed; only the fee was spent."
    if finding.refusal is None:
        return {"code": REVERTED, "message": message}
    return {"code": finding.refusal.code, "message": message, **finding.refusal.data}


def _replaced(order: Order, finding: Finding) -> Changes:
    other = finding.other
    if other is None:
        raise ValueError("what was replaced has a replacement")
    if not order.is_nonce_certain and (_is_taken(order, other) or not (other.is_cancel or _fulfils(order, other))):
        # The nonce was a guess, and another transaction's.
        return {"nonce": None}
    if finding.is_same_call and not _is_taken(order, other):
        return {"tx_hash": other.tx_hash, "replaced_by": "", "followed_state": OrderState.PENDING, "error": None}
    state = OrderState.CANCELLED if finding.fate == Fate.CANCELLED else OrderState.REPLACED
    return {"followed_state": state, "replaced_by": other.tx_hash, "error": None}


def _free(order: Order, now: datetime) -> Changes:
    if now - (order.known_at or order.created_at) < ABANDONED_AFTER:
        return {}
    return {"followed_state": OrderState.ABANDONED, "replaced_by": ""}


def _found(order: Order, finding: Finding) -> Changes:
    """A transaction used the nonce that the wallet was expected to use. It may be another one of the account."""
    sent = finding.transaction
    if sent is None or order.nonce is None:
        raise ValueError("what was found has a transaction, and a nonce by which it was")
    if _is_taken(order, sent) or not (sent.is_cancel or _fulfils(order, sent)):
        return _next_nonce(order, order.nonce)
    if sent.is_cancel:
        return {"followed_state": OrderState.CANCELLED, "replaced_by": sent.tx_hash}
    return {
        "tx_hash": sent.tx_hash,
        "followed_state": OrderState.PENDING,
        "sender": sent.sender,
        "is_nonce_certain": True,
        "call_hash": sent.call_hash,
        "replaced_by": "",
    }


def _next_nonce(order: Order, nonce: int) -> Changes:
    passed = order.nonces_passed + 1
    return {"nonce": nonce + 1 if passed < NONCES_PASSED_MAX else None, "nonces_passed": passed}


def _fulfils(order: Order, sent: SentTransaction) -> bool:
    return call_fulfils(order=order, sent=sent)


def _is_taken(order: Order, sent: SentTransaction) -> bool:
    """Whether another order of the account is about this transaction."""
    names = Q(tx_hash=sent.tx_hash) | Q(told_hash=sent.tx_hash) | Q(replaced_by=sent.tx_hash)
    return Order.objects.filter(names, account=order.account).exclude(pk=order.pk).exists()
