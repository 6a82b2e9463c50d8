"""Where an order stands, in words: each state of a transaction has its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from chain.gateway.errors import ChainError
from marketplace.orders import services
from marketplace.orders.models import Order, OrderKind, OrderState
from marketplace.orders.selectors import order_block, order_confirmations, order_is_final, order_message

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
# States in which a block is awaited; the others are asked about now and then.
_LIVE = frozenset({OrderState.INTENT, OrderState.SENT, OrderState.PENDING, OrderState.MINED})
_LOOKS = {
    **dict.fromkeys(_LIVE, "live"),
    OrderState.REORGED: "warn",
    OrderState.REVERTED: "bad",
    OrderState.ABANDONED: "",
}


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """`state` is for scripts and tests, `text` for people. `poll` is how often to ask again while `is_open`.

    `key` changes with what the page would say, so that a poll which finds the same announces nothing.
    """

    state: str
    text: str
    look: str
    key: str
    is_open: bool = True
    poll: str = _POLL
    link: str = ""
    link_text: str = ""


def order_progress(order: Order) -> tuple[Order, OrderProgress]:
    """The order as it is at this moment, and what to say: by the index and, while that has no log, by the node."""
    return orders_progress([order])[0]


def orders_progress(orders: Sequence[Order]) -> list[tuple[Order, OrderProgress]]:
    """`order_progress` of several. The node is asked once for all of them."""
    try:
        return [(order, _progress(order)) for order in services.orders_check(orders)]
    except ChainError:
        return [(order, _without_node(order)) for order in orders]


def _progress(order: Order) -> OrderProgress:
    return _seen(order) if order.state == OrderState.SEEN else _followed(order)


def _followed(order: Order) -> OrderProgress:
    state, text = order.state, order_message(order)
    block = order_block(order)
    if state == OrderState.MINED:
        text = f"In block {block}, by the node. Waiting for the index of this site to see it: only then does it count."
    elif state == OrderState.UNMATCHED:
        text = f"Block {block}: {text}"
    poll = _POLL if state in _LIVE else _POLL_SLOWLY
    return OrderProgress(state, text, _LOOKS.get(state, "warn"), state, poll=poll)


def _without_node(order: Order) -> OrderProgress:
    """Nothing is concluded from a silence: what was known is shown, and that it may be old."""
    if order.state not in _LIVE:
        return _progress(order)
    said = "Sent. " if order.tx_hash else ""
    text = f"{said}The chain node does not answer at the moment, so it cannot be said whether it is in a block."
    return OrderProgress(order.state, text, "live", f"{order.state}-no-node", poll=_POLL_SLOWLY)


def _seen(order: Order) -> OrderProgress:
    event = order.event
    if event is None:
        raise ValueError("an order that was seen has its event")
    is_final = order_is_final(order)
    depth = "final" if is_final else _depth_text(order_confirmations(order) or 1)
    text = f"{_TEXTS[OrderKind(order.kind)].format(**event.args)} In block {event.block_number}, {depth}."
    link, link_text = _next_step(order, event.args)
    key = "final" if is_final else "seen"
    # A re-org may still take it back.
    return OrderProgress("seen", text, "ok", key, not is_final, _POLL_SLOWLY, link, link_text)


def _depth_text(confirmations: int) -> str:
    return "1 confirmation" if confirmations == 1 else f"{confirmations} confirmations"


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
