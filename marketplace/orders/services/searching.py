"""Finding what was sent from a page that was closed before it told the hash: among the indexed events.

The other way, by sender and nonce, is `chain.tracking`'s. It needs a node with old state, and an account that sends its
transactions itself.
"""

from collections.abc import Sequence

from chain import selectors as chain
from chain import tracking
from chain.models import ChainEvent
from chain.sent import SentTransaction
from marketplace.orders.models import Order
from marketplace.orders.services.matching import (
    ACTOR_OF_KIND,
    EVENT_OF_KIND,
    event_fulfils,
    order_match,
)

# Newer events of its kind that are looked at for one order.
CANDIDATES_MAX = 20


def orders_find_by_event(orders: Sequence[Order]) -> int:
    """Tie orders whose transaction nobody knows to events that fulfil them. Returns how many.

    1. Candidates are events of the order's kind, newer than the order, about what it names, by the account where the
       event says by whom, whose transaction belongs to no order of the account.
    2. The node says who sent each. It has to be the account, with the order's nonce or a later one. Where the account
       has code, a bundler may have sent it (ERC-4337): then the event has to name the account as who acted.
    3. The oldest order gets the oldest event.

    Raises what the gateway raises.
    """
    candidates = {order.pk: _candidates(order) for order in orders}
    hashes = sorted({event.tx_hash for events in candidates.values() for event in events})
    if not hashes:
        return 0
    sent = tracking.transactions_get(hashes)
    with_code = tracking.accounts_with_code(sorted({order.account.address for order in orders}))
    tied = 0
    for order in sorted(orders, key=lambda order: order.created_at):
        for event in candidates[order.pk]:
            is_sent = event.tx_hash in sent and _is_by(order, event, sent[event.tx_hash], with_code=with_code)
            if is_sent and not _is_taken(order, event) and order_match(order=order, event=event):
                tied += 1
                break
    return tied


def _candidates(order: Order) -> list[ChainEvent]:
    if order.first_block is None:
        return []
    contract, name = EVENT_OF_KIND[order.kind]
    events = chain.event_list(contract=contract, name=name).filter(block_number__gt=order.first_block)
    subjects = {"args__planId": order.plan_id, "args__licenceId": order.licence_id}
    has = {key: str(value) for key, value in subjects.items() if value is not None and _is_named(order.kind, key)}
    actor = ACTOR_OF_KIND.get(order.kind)
    if actor is not None:
        has[f"args__{actor}"] = order.account.address
    found = events.filter(**has)[:CANDIDATES_MAX]
    return [event for event in found if event_fulfils(order=order, event=event) and not _is_taken(order, event)]


def _is_named(kind: str, key: str) -> bool:
    """Whether events of this kind carry the argument."""
    contract, name = EVENT_OF_KIND[kind]
    return key.removeprefix("args__") in chain.event_arguments(contract, name)


def _is_by(order: Order, event: ChainEvent, sent: SentTransaction, *, with_code: set[str]) -> bool:
    account = order.account.address
    if sent.sender == account:
        return order.nonce is None or sent.nonce >= order.nonce
    actor = ACTOR_OF_KIND.get(order.kind)
    return account in with_code and actor is not None and event.args[actor] == account


def _is_taken(order: Order, event: ChainEvent) -> bool:
    others = Order.objects.filter(account=order.account).exclude(pk=order.pk)
    return others.filter(tx_hash=event.tx_hash).exists() or others.filter(event=event).exists()
