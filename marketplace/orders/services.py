"""Recording what an account says it sent, and following it.

An order becomes `seen` for one reason only: the indexer saw its log. It becomes `reverted` because a receipt says so.
Time alone never makes it fail.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from chain import selectors as chain
from chain import transactions
from chain.errors import TransactionFailed, TransactionTimeout
from chain.gateway import get_gateway
from chain.gateway.errors import ChainError
from chain.models import ChainEvent
from marketplace.accounts.models import Account
from marketplace.orders.errors import OrderConflictError, OrderTooManyOpenError
from marketplace.orders.models import Order, OrderKind, OrderState

logger = logging.getLogger(__name__)

# The event that shows that a transaction of this kind did what it was for.
EVENT_OF_KIND: dict[str, tuple[str, str]] = {
    OrderKind.BUY: ("LicenceMarket", "LicenceBought"),
    OrderKind.PUBLISH: ("ModelRegistry", "ModelPublished"),
    OrderKind.RELEASE: ("ModelRegistry", "ReleasePublished"),
    OrderKind.ADD_PLAN: ("LicenceMarket", "PlanAdded"),
    OrderKind.RETIRE_PLAN: ("LicenceMarket", "PlanRetired"),
    OrderKind.WITHDRAW: ("LicenceMarket", "IncomeWithdrawn"),
    OrderKind.RENEW: ("LicenceMarket", "LicenceRenewed"),
    OrderKind.CANCEL: ("LicenceMarket", "LicenceCancelled"),
    OrderKind.SETTLE: ("LicenceMarket", "LicenceSettled"),
    OrderKind.DELIVER: ("LicenceMarket", "KeyDelivered"),
    OrderKind.COLLECT: ("LicenceMarket", "IncomeVested"),
    OrderKind.SPLIT: ("LicenceMarket", "IncomeSplit"),
    OrderKind.WITHDRAW_ACCOUNT: ("LicenceMarket", "AccountWithdrawn"),
    OrderKind.REGISTER_OPERATOR: ("LicenceMarket", "OperatorRegistered"),
    OrderKind.SET_OPERATOR: ("LicenceMarket", "OperatorChanged"),
}
# Arguments of those events that name who did it or for whom it was done: one of them has to be the account. The other
# kinds have none that could be asked. Anyone may collect and split; a key is handed over by the operator, and the event
# names the holder.
PARTIES_OF_KIND: dict[str, tuple[str, ...]] = {
    OrderKind.BUY: ("payer", "holder"),
    OrderKind.PUBLISH: ("publisher",),
    OrderKind.RENEW: ("payer",),
    OrderKind.CANCEL: ("holder",),
    OrderKind.SETTLE: ("holder", "to"),
    OrderKind.WITHDRAW_ACCOUNT: ("account",),
    OrderKind.REGISTER_OPERATOR: ("owner",),
}
# A node may take this long to hear of a transaction that a wallet sent to another node.
UNKNOWN_AFTER = timedelta(minutes=2)
FOLLOW_INTERVAL = timedelta(seconds=5)
FOLLOW_SLOWLY_INTERVAL = timedelta(minutes=10)
FOLLOW_FOR = timedelta(days=7)
FOLLOW_BATCH = 50
MATCH_BATCH = 500
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
    try:
        with transaction.atomic():
            _open_check(account, tx_hash)
            order = Order.objects.create(
                account=account, tx_hash=tx_hash, kind=kind, plan_id=plan_id, licence_id=licence_id
            )
            # The index may have been faster than the browser.
            for event in chain.event_list(tx_hash=tx_hash):
                order_match(order=order, event=event)
        return order, True
    except IntegrityError:
        order = Order.objects.select_related("event").get(account=account, tx_hash=tx_hash)
    if (order.kind, order.plan_id, order.licence_id) != (kind, plan_id, licence_id):
        raise OrderConflictError(f"This account recorded {tx_hash} already, as a {order.get_kind_display()}.")
    return order, False


def _open_check(account: Account, tx_hash: str) -> None:
    # The lock makes the limit hold when orders are recorded at the same time.
    Account.objects.select_for_update().filter(pk=account.pk).first()
    mine = Order.objects.filter(account=account)
    followed = mine.filter(event=None, created_at__gt=timezone.now() - FOLLOW_FOR).exclude(tx_hash=tx_hash)
    if followed.exclude(followed_state=OrderState.REVERTED).count() >= OPEN_MAX and not mine.filter(tx_hash=tx_hash):
        raise OrderTooManyOpenError(
            f"This account has {OPEN_MAX} transactions that no block holds yet, the most that are followed. "
            "Wait until some are in a block. What you sent to the chain counts all the same.",
            limit=OPEN_MAX,
        )


def order_match(*, order: Order, event: ChainEvent) -> bool:
    """Tie an order to the log that fulfils it. Returns whether it does.

    The same transaction can be recorded by anybody, so the log has to be about the plan or licence that the order
    names, and where it says who did it (`PARTIES_OF_KIND`), the account has to be among them.
    """
    if EVENT_OF_KIND[order.kind] != (event.contract, event.name):
        return False
    for subject, argument in ((order.plan_id, "planId"), (order.licence_id, "licenceId")):
        named = event.args.get(argument)
        if subject is not None and named is not None and int(named) != subject:
            return False
    parties = PARTIES_OF_KIND.get(order.kind, ())
    if parties and order.account.address not in {event.args[name] for name in parties}:
        return False
    order.event, order.error, order.followed_state = event, None, OrderState.SENT
    order.save(update_fields=["event", "error", "followed_state"])
    return True


def orders_match_events(*, events: Sequence[ChainEvent]) -> int:
    """Tie every order of the events' transactions to the one that fulfils it. Returns how many."""
    by_hash: dict[str, list[ChainEvent]] = defaultdict(list)
    for event in events:
        by_hash[event.tx_hash].append(event)
    matched, hashes = 0, list(by_hash)
    for start in range(0, len(hashes), MATCH_BATCH):
        open_orders = Order.objects.filter(tx_hash__in=hashes[start : start + MATCH_BATCH], event=None)
        for order in open_orders.select_related("account"):
            matched += any(order_match(order=order, event=event) for event in by_hash[order.tx_hash])
    return matched


def orders_match_all() -> int:
    """Tie orders without a log to the indexed ones, after the index was built anew. Returns how many."""
    hashes = Order.objects.filter(event=None).values("tx_hash")
    return orders_match_events(events=list(ChainEvent.objects.filter(tx_hash__in=hashes)))


def orders_follow() -> int:
    """Ask the node about orders whose log was not seen yet. Returns how many were asked about.

    1. Take the orders that are due: young ones every few seconds, older ones every ten minutes, for a week.
    2. Ask for the receipt. A failed one makes the order `reverted`, with the decoded reason.
    3. Without a receipt, and two minutes after the order was recorded, ask whether the node knows the transaction at
       all: `unknown` if not.
    4. A successful receipt decides nothing: the index does. Look whether it has the log already, for the case that the
       order and the log were committed at the same moment and did not see each other.
    A later call may find something else (a re-org, a late block) and says so then. A node that does not answer ends
    the round; no order changes.
    """
    now = timezone.now()
    young = Q(created_at__gt=now - timedelta(hours=1), checked_at__lt=now - FOLLOW_INTERVAL)
    due = Q(checked_at=None) | young | Q(checked_at__lt=now - FOLLOW_SLOWLY_INTERVAL)
    waiting = Order.objects.filter(due, event=None, created_at__gt=now - FOLLOW_FOR).select_related("account")
    orders = list(waiting.order_by("checked_at")[:FOLLOW_BATCH])
    for order in orders:
        try:
            state, error = _followed(order)
        except ChainError as failure:
            logger.warning("Orders cannot be followed now: %s", failure.message)
            break
        # `event=None`: the indexer may have seen the log meanwhile, and it is right.
        Order.objects.filter(pk=order.pk, event=None).update(
            followed_state=state, error=error, checked_at=timezone.now()
        )
    return len(orders)


def _followed(order: Order) -> tuple[OrderState, dict[str, str] | None]:
    try:
        transactions.receipt_wait(order.tx_hash, timeout_s=0)
    except TransactionFailed as error:
        reason = str(error.data["reason"])
        message = f"The contract refused the transaction: {reason} Nothing changed; only the fee was spent."
        return OrderState.REVERTED, {"code": "chain.reverted", "message": message}
    except TransactionTimeout:
        if timezone.now() - order.created_at < UNKNOWN_AFTER or _is_known(order.tx_hash):
            return OrderState.SENT, None
        return OrderState.UNKNOWN, None
    for event in chain.event_list(tx_hash=order.tx_hash):
        order_match(order=order, event=event)
    return OrderState.SENT, None


def _is_known(tx_hash: str) -> bool:
    return get_gateway().request("eth_getTransactionByHash", [tx_hash]) is not None
