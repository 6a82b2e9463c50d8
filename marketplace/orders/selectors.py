"""Reads about orders."""

from uuid import UUID

from django.db.models import QuerySet

from marketplace.accounts.models import Account
from marketplace.licences import selectors as licences
from marketplace.licences.selectors import LicenceView
from marketplace.orders.errors import OrderNotFoundError
from marketplace.orders.models import Order, OrderKind


def order_list(account: Account) -> QuerySet[Order]:
    """The account's orders, newest first."""
    return Order.objects.filter(account=account).select_related("event")


def order_get(*, account: Account, order_id: UUID) -> Order:
    """One of the account's orders. Raises OrderNotFoundError, for others' orders too."""
    order = order_list(account).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFoundError("This account has no such order.")
    return order


def order_licence(order: Order) -> LicenceView | None:
    """The licence that a purchase created, once its log was indexed."""
    if order.kind != OrderKind.BUY or order.event is None:
        return None
    return licences.licence_get(int(order.event.args["licenceId"]))


MESSAGES = {
    "sent": "Sent. Waiting for a block and for the index to see it.",
    "seen": "Done: the chain recorded it, and the index saw the log.",
    "reverted": "The contract refused it. Nothing was bought or changed; only the fee was spent.",
    "unknown": "The node does not know this transaction. It was dropped, replaced or cancelled in the wallet. "
    "If it is mined after all, it will show here.",
}


def order_message(order: Order) -> str:
    """Where the order stands, for people."""
    if order.error is not None and order.state != "seen":
        return str(order.error["message"])
    return MESSAGES[order.state]
