"""Orders are what people said they sent; what an order is tied to must be the log that shows it.

There is no view to ask. The events that they are tied to are compared with the chain's logs by the audit of the events.
"""

from collections.abc import Iterator

from django.db.models import Model, Q

from chain.audit.block import AuditBlock
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.models import ChainEvent
from marketplace.orders.models import Order, OrderKind

_BATCH = 500
# The event that a transaction of each kind is for, and the arguments that name who did it, where there are some.
_SHOWN_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    OrderKind.BUY: ("LicenceBought", ("holder", "payer")),
    OrderKind.PUBLISH: ("ModelPublished", ("publisher",)),
    OrderKind.RELEASE: ("ReleasePublished", ()),
    OrderKind.ADD_PLAN: ("PlanAdded", ()),
    OrderKind.RETIRE_PLAN: ("PlanRetired", ()),
    OrderKind.WITHDRAW: ("IncomeWithdrawn", ()),
    OrderKind.RENEW: ("LicenceRenewed", ("payer",)),
    OrderKind.CANCEL: ("LicenceCancelled", ("holder",)),
    OrderKind.SETTLE: ("LicenceSettled", ("holder", "to")),
    OrderKind.DELIVER: ("KeyDelivered", ()),
    OrderKind.COLLECT: ("IncomeVested", ()),
    OrderKind.SPLIT: ("IncomeSplit", ()),
    OrderKind.WITHDRAW_ACCOUNT: ("AccountWithdrawn", ("account",)),
    OrderKind.REGISTER_OPERATOR: ("OperatorRegistered", ("owner",)),
    OrderKind.SET_OPERATOR: ("OperatorChanged", ()),
}


@register("orders")
def orders_audit(block: AuditBlock) -> Iterator[Difference]:
    """An order is tied to a log of its transaction that fulfils it, and to none only where there is none."""
    told = Order.objects.exclude(tx_hash=None)
    orders = told.filter(Q(event=None) | Q(event_id__lte=block.last_event_id)).select_related("account")
    after = orders.order_by("pk")
    batch = list(after[:_BATCH])
    while batch:
        block.rows += len(batch)
        yield from _batch(block, batch)
        batch = list(after.filter(pk__gt=batch[-1].pk)[:_BATCH])


def _batch(block: AuditBlock, orders: list[Order]) -> Iterator[Difference]:
    hashes = {order.tx_hash or "" for order in orders}
    logs: dict[str, list[ChainEvent]] = {tx_hash: [] for tx_hash in hashes}
    for event in ChainEvent.objects.filter(tx_hash__in=hashes, id__lte=block.last_event_id).order_by("id"):
        logs[event.tx_hash].append(event)
    for order in orders:
        fitting = [event.pk for event in logs[order.tx_hash or ""] if _shows(event, order)]
        is_right = order.event_id in fitting if fitting else order.event_id is None
        tied, right = order.event_id, order.event_id if is_right else (fitting[0] if fitting else None)
        table: type[Model] = Order
        yield from block.compare(table, f"order {order.pk}", database={"event": tied}, chain={"event": right})


def _shows(event: ChainEvent, order: Order) -> bool:
    name, parties = _SHOWN_BY[order.kind]
    if event.name != name:
        return False
    about = {"planId": order.plan_id, "licenceId": order.licence_id}
    fits = all(one is None or event.args.get(name, str(one)) == str(one) for name, one in about.items())
    return fits and (not parties or order.account.address in {event.args.get(party) for party in parties})
