"""Where an order stands, in words: each state of a transaction has its own."""

from dataclasses import dataclass

from django.urls import reverse

from chain import selectors as chain
from chain.gateway.errors import ChainError
from marketplace.orders.models import Order, OrderKind, OrderState
from marketplace.orders.selectors import order_message

# What each kind did once its event was seen, from the event's arguments.
_TEXTS = {
    OrderKind.BUY: "Bought: the licence is yours.",
    OrderKind.RENEW: "Renewed: a new term has begun.",
    OrderKind.CANCEL: "Cancelled: the licence has ended.",
    OrderKind.SETTLE: "Settled: what had not vested is paid.",
    OrderKind.DELIVER: "Delivered: the key may be handed over.",
    OrderKind.COLLECT: "Collected: what had vested is the plan's income.",
    OrderKind.SPLIT: "Split: each share is credited.",
    OrderKind.PUBLISH: "Published as model {modelId}.",
    OrderKind.RELEASE: "Published as release {number}.",
    OrderKind.ADD_PLAN: "The plan is on sale.",
    OrderKind.RETIRE_PLAN: "The plan is retired.",
    OrderKind.WITHDRAW: "Withdrawn.",
    OrderKind.WITHDRAW_ACCOUNT: "Withdrawn.",
    OrderKind.REGISTER_OPERATOR: "Registered as operator {operatorId}.",
    OrderKind.SET_OPERATOR: "Operator {operatorId} is changed.",
}

_POLL = "1s"
_POLL_SLOWLY = "10s"


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """`state` is for scripts and tests, `text` for people. `poll` is how often to ask again while `is_open`."""

    state: str
    text: str
    look: str
    is_open: bool = True
    poll: str = _POLL
    link: str = ""
    link_text: str = ""


def order_progress(order: Order) -> OrderProgress:
    """The order's state by the index and, while that has seen nothing, by the node's receipt."""
    match order.state:
        case OrderState.SEEN:
            return _seen(order)
        case OrderState.REVERTED:
            return OrderProgress("reverted", order_message(order), "bad", is_open=False)
        case OrderState.UNKNOWN:
            return OrderProgress("unknown", order_message(order), "warn", poll=_POLL_SLOWLY)
        case _:
            return _sent(order)


def _sent(order: Order) -> OrderProgress:
    try:
        receipt = chain.transaction_receipt(order.tx_hash)
    except ChainError:
        text = "Sent. The chain node does not answer at the moment, so it cannot be said whether it is in a block."
        return OrderProgress("sent", text, "live", poll=_POLL_SLOWLY)
    if receipt is None:
        return OrderProgress("sent", "Sent to the network. Waiting for a block.", "live")
    if receipt.succeeded:
        text = f"In block {receipt.block_number}. Waiting for the index of this site to see it."
        return OrderProgress("mined", text, "live")
    return OrderProgress("refused", "The contract refused the transaction. Reading the reason.", "live")


def _seen(order: Order) -> OrderProgress:
    event = order.event
    if event is None:
        raise ValueError("an order that was seen has its event")
    block = f"The index has seen it in block {event.block_number}."
    text = _TEXTS[OrderKind(order.kind)].format(**event.args)
    link, link_text = _next_step(order, event.args)
    return OrderProgress("seen", f"{text} {block}", "ok", is_open=False, link=link, link_text=link_text)


def _next_step(order: Order, args: dict[str, str]) -> tuple[str, str]:
    match order.kind:
        case OrderKind.BUY:
            # The plan's id carries its model's.
            model = reverse("model", args=[int(args["planId"]) >> 32])
            return f"{model}?licence={args['licenceId']}#run", "Run the model"
        case OrderKind.RENEW | OrderKind.CANCEL | OrderKind.SETTLE | OrderKind.DELIVER:
            return reverse("licence", args=[args["licenceId"]]), "Show the licence"
        case OrderKind.REGISTER_OPERATOR | OrderKind.SET_OPERATOR:
            return reverse("operator", args=[args["operatorId"]]), "Show the operator"
        case OrderKind.WITHDRAW_ACCOUNT:
            return reverse("operators"), "Show my operators"
        case OrderKind.PUBLISH | OrderKind.RELEASE:
            return reverse("release", args=[args["digest"]]), "Go on"
        case _:
            return reverse("my-models"), "Show my models"
