"""Which event fulfils an order, and which call of a contract would."""

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Q

from chain import selectors as chain
from chain.calls import call_read
from chain.models import ChainEvent
from chain.sent import SentTransaction
from marketplace.orders.models import Order, OrderKind, OrderState

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
# The one of them that did it, whoever sent the transaction.
ACTOR_OF_KIND: dict[str, str] = {
    OrderKind.BUY: "payer",
    OrderKind.PUBLISH: "publisher",
    OrderKind.RENEW: "payer",
    OrderKind.CANCEL: "holder",
    OrderKind.SETTLE: "holder",
    OrderKind.WITHDRAW_ACCOUNT: "account",
    OrderKind.REGISTER_OPERATOR: "owner",
}
# What a wallet calls for each kind.
FUNCTIONS_OF_KIND: dict[str, tuple[str, ...]] = {
    OrderKind.BUY: ("buy", "buyWithPermit", "buyWithAuthorization", "buyWithWalletAuthorization"),
    OrderKind.PUBLISH: ("publish",),
    OrderKind.RELEASE: ("release",),
    OrderKind.ADD_PLAN: ("addPlan",),
    OrderKind.RETIRE_PLAN: ("retirePlan",),
    OrderKind.WITHDRAW: ("withdraw",),
    OrderKind.RENEW: ("renew",),
    OrderKind.CANCEL: ("cancel", "cancelBySig"),
    OrderKind.SETTLE: ("settle",),
    OrderKind.DELIVER: ("deliver",),
    OrderKind.COLLECT: ("collect",),
    OrderKind.SPLIT: ("split",),
    OrderKind.WITHDRAW_ACCOUNT: ("withdrawAccount",),
    OrderKind.REGISTER_OPERATOR: ("registerOperator",),
    OrderKind.SET_OPERATOR: ("setOperator",),
}

MATCH_BATCH = 500
_MATCHED = ("event", "error", "replaced_by", "followed_state", "checked_at")


def event_fulfils(*, order: Order, event: ChainEvent) -> bool:
    """Whether the log is what the order was for.

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
    return not parties or order.account.address in {event.args[name] for name in parties}


def call_fulfils(*, order: Order, sent: SentTransaction) -> bool:
    """Whether the transaction calls for what the order was for, about the plan or licence that it names."""
    contract, _ = EVENT_OF_KIND[order.kind]
    if sent.to != chain.contract_address(contract):
        return False
    call = call_read(contract, sent.data)
    if call is None or call.function not in FUNCTIONS_OF_KIND[order.kind]:
        return False
    subjects = ((order.plan_id, "planId"), (order.licence_id, "licenceId"))
    return all(subject is None or call.args.get(name, subject) == subject for subject, name in subjects)


def order_match(*, order: Order, event: ChainEvent) -> bool:
    """Tie an order to the log that fulfils it, and to its transaction. Returns whether it does.

    The row changes only where it still is as `order` was read: another process may have tied it, or the index may have
    been built anew meanwhile.
    """
    before = order.tx_hash
    if not event_fulfils(order=order, event=event) or not _hash_take(order, event.tx_hash):
        return False
    order.event, order.error, order.replaced_by = event, None, ""
    # What it falls back to where a re-org takes the log: the follower asks at once.
    order.followed_state, order.checked_at = OrderState.MINED, None
    order.block_number, order.block_hash = event.block_number, event.block_hash
    values = {name: getattr(order, name) for name in (*_MATCHED, "tx_hash", "block_number", "block_hash")}
    if Order.objects.filter(pk=order.pk, event=None, tx_hash=before).update(**values) == 1:
        return True
    order.refresh_from_db()
    return False


def _hash_take(order: Order, tx_hash: str) -> bool:
    """Let the order name this transaction, unless another order of the account does."""
    if order.tx_hash == tx_hash:
        return True
    if Order.objects.filter(account=order.account, tx_hash=tx_hash).exists():
        return False
    order.tx_hash = tx_hash
    return True


def order_match_indexed(order: Order) -> bool:
    """Tie an order to a log of its transaction, or of the one that replaced it, that the index has already."""
    hashes = [tx_hash for tx_hash in (order.tx_hash, order.replaced_by) if tx_hash]
    return any(
        order_match(order=order, event=event) for tx_hash in hashes for event in chain.event_list(tx_hash=tx_hash)
    )


def orders_match_events(*, events: Sequence[ChainEvent]) -> int:
    """Tie every order of the events' transactions to the one that fulfils it. Returns how many."""
    by_hash: dict[str, list[ChainEvent]] = defaultdict(list)
    for event in events:
        by_hash[event.tx_hash].append(event)
    matched, hashes = 0, list(by_hash)
    for start in range(0, len(hashes), MATCH_BATCH):
        part = hashes[start : start + MATCH_BATCH]
        orders = Order.objects.filter(Q(tx_hash__in=part) | Q(replaced_by__in=part), event=None)
        for order in orders.select_related("account"):
            found = [*by_hash.get(order.tx_hash or "", ()), *by_hash.get(order.replaced_by, ())]
            matched += any(order_match(order=order, event=event) for event in found)
    return matched


def orders_match_all() -> int:
    """Tie orders without a log to the indexed ones, after the index was built anew. Returns how many."""
    waiting = Order.objects.filter(event=None)
    hashes = Q(tx_hash__in=waiting.values("tx_hash")) | Q(tx_hash__in=waiting.values("replaced_by"))
    return orders_match_events(events=list(ChainEvent.objects.filter(hashes)))
