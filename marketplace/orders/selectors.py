"""Reads about orders."""

from uuid import UUID

from django.db.models import QuerySet

from chain import selectors as chain
from marketplace.accounts.models import Account
from marketplace.licences import selectors as licences
from marketplace.licences.selectors import LicenceView
from marketplace.orders.errors import OrderNotFoundError
from marketplace.orders.models import Order, OrderKind, OrderState
from marketplace.orders.words import WORDS


def order_list(account: Account) -> QuerySet[Order]:
    """The account's orders, newest first."""
    return Order.objects.filter(account=account).select_related("event", "account")


def order_list_on_its_way(account: Account, *, kind: str) -> QuerySet[Order]:
    """The account's orders of a kind that the index has not seen, without those that were never sent."""
    return order_list(account).filter(kind=kind, event=None).exclude(followed_state=OrderState.ABANDONED)


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


def order_message(order: Order) -> str:
    """Where the order stands, for people."""
    if order.error is not None and order.state == OrderState.REVERTED:
        return str(order.error["message"])
    return WORDS[order.state]


def order_block(order: Order) -> int | None:
    """The block that holds the order's transaction, `None` where none is known to."""
    if order.event is not None:
        return order.event.block_number
    is_in_block = order.state in (OrderState.MINED, OrderState.UNMATCHED, OrderState.REVERTED)
    return order.block_number if is_in_block else None


def order_confirmations(order: Order) -> int | None:
    """How many blocks hold the order's log or stand upon it, 1 for the newest; `None` where the index has no log.

    Read from the index alone, so that it may be behind the node.
    """
    head = chain.chain_status().head
    if order.event is None or head is None:
        return None
    return max(head - order.event.block_number, 0) + 1


def order_is_final(order: Order) -> bool:
    """Whether the order's log is in a block that the chain calls final."""
    finalized = chain.chain_status().finalized
    return order.event is not None and finalized is not None and order.event.block_number <= finalized
