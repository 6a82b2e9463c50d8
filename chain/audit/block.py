"""The block at which an audit asks the contracts, and what all audits of an app need."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from chain.address_book import AddressBook
from chain.audit.report import NO_ROW, Difference
from chain.bindings.base import View, views_read, views_require
from chain.fields import UINT256_MAX
from chain.gateway.errors import Reverted
from chain.gateway.protocol import ChainGateway, Header

T = TypeVar("T")
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Sample:
    """Compare this many of each kind of thing, chosen by the seed, and not all of them."""

    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some ids that the chain has, ascending, and the range of ids that they stand for.

    The ranges of all chunks leave nothing out, so that a row whose id the chain does not have lies in one of them.
    """

    low: int
    high: int
    ids: tuple[int, ...]


@dataclass
class AuditBlock:
    """One run at one block. Every question is asked at its hash, every row comes from an event up to it.

    Asking raises the gateway's errors, `NodeBehind` once the block is no longer canonical.
    """

    gateway: ChainGateway
    book: AddressBook
    header: Header
    # The newest `ChainEvent` up to this block. Ids ascend in chain order, which the audit of the events checks.
    last_event_id: int
    sample: Sample | None = None
    say: Callable[[str], None] = field(default=lambda _text: None)
    values: int = 0
    rows: int = 0

    def ask(self, views: Sequence[View[T]]) -> list[T | Reverted]:
        """Answers in the order of the questions; a refusal stands in the place of its answer."""
        return views_read(views, block_hash=self.header.hash, gateway=self.gateway)

    def ask_all(self, views: Sequence[View[T]]) -> list[T]:
        """Answers to questions that no contract of ours refuses. Raises `Reverted`."""
        return views_require(views, block_hash=self.header.hash, gateway=self.gateway)

    def rows_of(self, model: type[Row]) -> QuerySet[Row]:
        """The rows that came from events up to this block, oldest first."""
        return model._default_manager.filter(event_id__lte=self.last_event_id).order_by("event_id")

    def chunks(self, ids: Iterable[int], *, size: int = 200, top: int = UINT256_MAX) -> Iterator[Chunk]:
        """Ids that the chain has, ascending, in chunks that cover everything up to `top`; or a sample of them."""
        if self.sample is not None:
            yield from (Chunk(one, one, (one,)) for one in _reservoir(ids, self.sample))
            return
        source, low = iter(ids), 0
        part = tuple(islice(source, size))
        while True:
            following = tuple(islice(source, size))
            high = part[-1] if following else top
            yield Chunk(low, high, part)
            if not following:
                return
            part, low = following, high + 1

    def compare(
        self,
        table: type[Model] | Mapping[str, type[Model]],
        subject: str,
        *,
        database: Mapping[str, Any],
        chain: Mapping[str, Any],
    ) -> Iterator[Difference]:
        """The members of `chain` that the database has otherwise. `table` is one model, or the model of each member."""
        for name, value in chain.items():
            self.values += 1
            if database[name] != value:
                model = table[name] if isinstance(table, Mapping) else table
                yield Difference(model._meta.label, subject, name, database[name], value)

    def missing(self, table: type[Model], subject: str, told: str) -> Difference:
        """The chain has something that lacks its row."""
        return Difference(table._meta.label, subject, "", NO_ROW, told)

    def surplus(self, table: type[Model], subject: str, told: str = "nothing of the kind") -> Difference:
        """The database has a row for something that the chain does not have."""
        return Difference(table._meta.label, subject, "", "a row", told)


def _reservoir(ids: Iterable[int], sample: Sample) -> list[int]:
    """Each id with the same chance, in one pass (Vitter's algorithm R), ascending."""
    rng = random.Random(sample.seed)  # noqa: S311 - a choice that can be repeated, nothing secret
    chosen: list[int] = []
    for place, one in enumerate(ids):
        if place < sample.size:
            chosen.append(one)
        elif (slot := rng.randint(0, place)) < sample.size:
            chosen[slot] = one
    return sorted(chosen)
