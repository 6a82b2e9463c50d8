"""How the chain tells the apps above what happened: a table of handlers, filled in `AppConfig.ready()`.

A handler runs inside the indexer's transaction, once per event in the order of the chain. It must be idempotent, do
no I/O beyond the database and let its rows hang off the `ChainEvent` row: `CASCADE` for derived rows, `SET_NULL` for
what a person made. A handler that raises stops the stream at that block, visibly, and nothing of the block is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chain.models import ChainEvent


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """One log of a known contract. Integers are `int`, addresses checksummed, bytes `0x` hex, structs dicts."""

    contract: str
    name: str
    args: dict[str, Any]
    block_number: int
    block_time: datetime
    tx_hash: str
    log_index: int


Handler = Callable[[DecodedEvent, ChainEvent], None]

_handlers: dict[tuple[str, str], list[Handler]] = {}


def register(contract: str, event: str) -> Callable[[Handler], Handler]:
    """Register the decorated function for one event of one contract. Registering it again changes nothing."""

    def decorate(handler: Handler) -> Handler:
        registered = _handlers.setdefault((contract, event), [])
        if handler not in registered:
            registered.append(handler)
        return handler

    return decorate


def unregister(handler: Handler) -> None:
    """Remove a handler wherever it is registered."""
    for registered in _handlers.values():
        if handler in registered:
            registered.remove(handler)


def dispatch(event: DecodedEvent, row: ChainEvent) -> None:
    """Run the handlers of `event`, in the order of their registration."""
    for handler in _handlers.get((event.contract, event.name), ()):
        handler(event, row)
