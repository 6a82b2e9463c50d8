"""Recording what an account is about to send, and what it says it sent."""

import logging

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from chain import selectors as chain
from chain import tracking
from chain.gateway.errors import ChainError
from marketplace.accounts.models import Account
from marketplace.orders.errors import OrderConflictError, OrderTooManyOpenError
from marketplace.orders.models import CLOSED_STATES, Order, OrderState
from marketplace.orders.services.following import FOLLOW_FOR
from marketplace.orders.services.matching import order_match_indexed

logger = logging.getLogger(__name__)

# Orders of one account that are followed at once, so that its made-up hashes do not hold up other accounts.
OPEN_MAX = 20


def order_record(
    *, account: Account, tx_hash: str, kind: str, plan_id: int | None = None, licence_id: int | None = None
) -> tuple[Order, bool]:
    """Record a transaction that the account says it sent; the same one again gives the same order.

    `plan_id` and `licence_id` say what it is about, where that is one. Returns the order and whether it is new. Raises
    OrderConflictError where it was recorded as something else, and OrderTooManyOpenError where the account has
    `OPEN_MAX` orders that are still followed.
    """
    tx_hash = tx_hash.lower()
    subject = {"kind": kind, "plan_id": plan_id, "licence_id": licence_id}
    order = _recorded(account, tx_hash)
    if order is None:
        try:
            with transaction.atomic():
                _open_check(account)
                order = Order.objects.create(
                    account=account, tx_hash=tx_hash, told_hash=tx_hash, first_block=_head_indexed(), **subject
                )
                # The index may have been faster than the browser.
                order_match_indexed(order)
            return order, True
        except IntegrityError:
            order = Order.objects.select_related("event").get(account=account, tx_hash=tx_hash)
    if {name: getattr(order, name) for name in subject} != subject:
        raise OrderConflictError(f"This account recorded {tx_hash} already, as a {order.get_kind_display()}.")
    return order, False


def order_intend(*, account: Account, kind: str, plan_id: int | None = None, licence_id: int | None = None) -> Order:
    """Record that the account is about to send something, before its wallet is asked.

    The node says which nonce the wallet will use; where it does not answer, the order has none until its hash is told.
    Raises OrderTooManyOpenError.
    """
    nonce: int | None = None
    first_block: int | None
    try:
        nonce, first_block = tracking.next_nonce(account.address)
    except ChainError as error:
        logger.warning("The next nonce of an account cannot be asked now: %s", error.message)
        first_block = _head_indexed()
    with transaction.atomic():
        _open_check(account)
        return Order.objects.create(
            account=account,
            kind=kind,
            plan_id=plan_id,
            licence_id=licence_id,
            nonce=nonce,
            first_block=first_block,
            followed_state=OrderState.INTENT,
        )


def order_tell(*, order: Order, tx_hash: str | None = None, nonce: int | None = None) -> Order:
    """Add what the wallet answered to an order that was recorded before. The same again changes nothing.

    What the chain told before is corrected, on another order of the account too. Raises OrderConflictError where the
    account has said another hash of this order, or this hash of another order.
    """
    with transaction.atomic():
        Account.objects.select_for_update().filter(pk=order.account_id).first()
        order.refresh_from_db()
        if tx_hash is not None:
            _hash_tell(order, tx_hash.lower())
        if nonce is not None and not (order.is_nonce_certain and order.known_at):
            order.nonce, order.is_nonce_certain = nonce, True
        order.save()
        order_match_indexed(order)
    return order


def order_reject(*, order: Order) -> Order:
    """Note that the person refused it in the wallet: nothing was sent, so nothing is followed.

    Raises OrderConflictError where a transaction is known.
    """
    with transaction.atomic():
        Account.objects.select_for_update().filter(pk=order.account_id).first()
        order.refresh_from_db()
        if order.told_hash:
            raise OrderConflictError(f"This order was sent already, as transaction {order.told_hash}.")
        _forget(order)
        order.followed_state, order.nonce, order.first_block = OrderState.ABANDONED, None, None
        order.save()
    return order


def _hash_tell(order: Order, tx_hash: str) -> None:
    if order.told_hash:
        if tx_hash not in (order.told_hash, order.tx_hash):
            raise OrderConflictError(f"This order was recorded as transaction {order.told_hash}.")
        return
    other = _recorded(order.account, tx_hash, without=order)
    if other is not None:
        if other.told_hash:
            raise OrderConflictError(f"This account recorded {tx_hash} already, as another order.")
        _forget(other)
        other.followed_state = OrderState.INTENT
        other.save()
    if order.tx_hash != tx_hash:
        _forget(order)
        order.tx_hash, order.followed_state, order.checked_at = tx_hash, OrderState.SENT, None
    order.told_hash = tx_hash


def _forget(order: Order) -> None:
    """Take back what the chain told of an order whose hash it found."""
    order.tx_hash, order.event, order.error, order.replaced_by = None, None, None, ""
    order.sender, order.call_hash, order.known_at, order.is_nonce_certain = "", "", None, False
    order.block_number, order.block_hash = None, ""


def _recorded(account: Account, tx_hash: str, *, without: Order | None = None) -> Order | None:
    """The account's order of this transaction, or of one that it sped up."""
    orders = Order.objects.filter(Q(tx_hash=tx_hash) | Q(told_hash=tx_hash), account=account)
    if without is not None:
        orders = orders.exclude(pk=without.pk)
    return orders.select_related("event", "account").order_by("created_at").first()


def _head_indexed() -> int | None:
    return chain.chain_status().head


def _open_check(account: Account) -> None:
    # The lock makes the limit hold when orders are recorded at the same time.
    Account.objects.select_for_update().filter(pk=account.pk).first()
    followed = Order.objects.filter(account=account, event=None, created_at__gt=timezone.now() - FOLLOW_FOR)
    if followed.exclude(followed_state__in=CLOSED_STATES).count() >= OPEN_MAX:
        raise OrderTooManyOpenError(
            f"This account has {OPEN_MAX} transactions that no block holds yet, the most that are followed. "
            "Wait until some are in a block. What you sent to the chain counts all the same.",
            limit=OPEN_MAX,
        )
