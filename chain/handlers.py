"""How the chain tells the apps above what happened: a table of handlers, filled in `AppConfig.ready()`.

A handler runs inside the indexer's transaction. It gets the events that it registered for, of one block or of many, in
the order of the chain, and writes their rows in bulk (`chain.bulk`). It must be idempotent, do no I/O beyond the
database and let its rows hang off the `ChainEvent` row: `CASCADE` for derived rows, `SET_NULL` for what a person made.
A handler that raises stops the stream before that block, visibly, and nothing of the block is kept.

A derived row is a function of the chain alone, so that `reindex` can build all of them anew beside the old ones. What
also depends on rows that are not derived is repaired by functions registered with `on_rebuilt`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model

from chain.errors import HandlerFailed
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


@dataclass(frozen=True, slots=True)
class IndexedEvent:
    """An event and the row that it was stored in."""

    event: DecodedEvent
    row: ChainEvent

    @property
    def name(self) -> str:
        return self.event.name

    @property
    def args(self) -> dict[str, Any]:
        return self.event.args

    @property
    def row_id(self) -> int:
        """The primary key of the row. Keys ascend in the order of the chain."""
        return self.row.pk


Handler = Callable[[Sequence[IndexedEvent]], None]
Repair = Callable[[], object]

# In the order of registration, which is the order in which handlers run.
_handlers: dict[Handler, set[tuple[str, str]]] = {}
_not_derived: set[Handler] = set()
# What to run after a rebuild, and the models whose rows it reads and nobody may change meanwhile.
_repairs: dict[Repair, tuple[type[Model], ...]] = {}
_rebuilding: ContextVar[bool] = ContextVar("rebuilding", default=False)


def register(contract: str, *events: str, derived: bool = True) -> Callable[[Handler], Handler]:
    """Register the decorated function for events of one contract. Registering it again changes nothing.

    `derived` is false for a handler that writes rows which are not derived from the chain. It does not run while
    `reindex` builds, since those rows are the live ones and the events are not; `on_rebuilt` has to do its work.
    """

    def decorate(handler: Handler) -> Handler:
        _handlers.setdefault(handler, set()).update((contract, event) for event in events)
        if not derived:
            _not_derived.add(handler)
        return handler

    return decorate


def unregister(handler: Handler) -> None:
    """Remove a handler wherever it is registered."""
    _handlers.pop(handler, None)


def on_rebuilt(repair: Repair, *read: type[Model]) -> Repair:
    """Register what `reindex` has to call in the transaction that puts new rows in the place of the old ones.

    Rows of the models `read` cannot be changed between the start of that transaction and its end.
    """
    _repairs[repair] = read
    return repair


def rebuilt() -> None:
    """Run what was registered with `on_rebuilt`."""
    for repair in _repairs:
        repair()


def models_repaired_from() -> list[type[Model]]:
    """The models that the repairs read."""
    return [model for read in _repairs.values() for model in read]


@contextmanager
def rebuilding() -> Iterator[None]:
    """Within it, derived rows alone may be written: everything else is live."""
    token = _rebuilding.set(True)
    try:
        yield
    finally:
        _rebuilding.reset(token)


def is_rebuilding() -> bool:
    return _rebuilding.get()


def dispatch(batch: Sequence[IndexedEvent]) -> None:
    """Run the handlers of these events, each once with all of its events. Raises `HandlerFailed`."""
    present = {(item.event.contract, item.event.name) for item in batch}
    for handler, wanted in _handlers.items():
        if is_rebuilding() and handler in _not_derived:
            continue
        if not wanted.isdisjoint(present):
            _run(handler, [item for item in batch if (item.event.contract, item.event.name) in wanted])


def _run(handler: Handler, events: Sequence[IndexedEvent]) -> None:
    try:
        handler(events)
    except Exception as error:
        # Whatever it was, nothing of the batch is indexed, and the place is told.
        first = events[0].event
        where = f"{first.contract}.{first.name} in block {first.block_number}, log {first.log_index}"
        others = f" and {len(events) - 1} more" if len(events) > 1 else ""
        raise HandlerFailed(
            f"A handler of {where}{others} failed: {type(error).__name__}.", event=first.name
        ) from error
