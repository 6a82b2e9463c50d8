"""What each state of an order means, for people: what happened to the money, and what to do."""

from marketplace.orders.models import OrderState

WORDS: dict[str, str] = {
    OrderState.INTENT: (
        "Waiting for your wallet; nothing is known to be sent. If you confirmed it there and closed the page, it is"
        " looked for on the chain and will show here."
    ),
    OrderState.ABANDONED: (
        "Not sent, as far as the chain shows: your wallet rejected it or was closed. Nothing was paid. If you did"
        " confirm it, it will show here; otherwise try again when you like."
    ),
    OrderState.SENT: "Sent. The node has not heard of it yet. Do not send it again: it is being followed.",
    OrderState.PENDING: "Sent to the network. Waiting for a block.",
    OrderState.MINED: "In a block, by the node. Waiting for the index of this site to see it: only then does it count.",
    OrderState.UNMATCHED: (
        "It is in a block that the index of this site has read, and it did something else than was asked for here. If"
        " it was meant to do this, a call inside it failed, and nothing was bought or changed. Look at it in your"
        " wallet."
    ),
    OrderState.SEEN: "Done: the chain recorded it, and the index saw the log.",
    OrderState.REVERTED: "The contract refused it. Nothing was bought or changed; only the fee was spent.",
    OrderState.REPLACED: (
        "Your account sent another transaction in its place, and that one is in a block. This one will not be carried"
        " out: nothing was bought or changed by it."
    ),
    OrderState.CANCELLED: (
        "Cancelled in your wallet: an empty transaction took its place. Nothing was bought or changed; only the fee"
        " was spent."
    ),
    OrderState.DROPPED: (
        "The node has forgotten this transaction, no block holds it, and its place is free. Nothing was paid. Look"
        " whether your wallet still holds it: speed it up or cancel it there before you send another."
    ),
    OrderState.REORGED: (
        "The chain replaced the block that held it. Nothing is lost: your wallet still has the money, or the"
        " transaction will be in a block again. Do not send it again unless your wallet says that it is gone."
    ),
    OrderState.UNKNOWN: (
        "The node does not know this transaction. It was dropped, replaced or cancelled in the wallet, or waits at"
        " another node. Look at it in your wallet. If it is mined after all, it will show here."
    ),
}
