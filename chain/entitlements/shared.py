"""Facts about a block, asked of the node once for all threads and processes."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Generic, TypeVar

from chain.address_book import AddressBook
from chain.entitlements.cache import ASKING, BrokerCache, broker_cache
from chain.entitlements.joining import Joined
from chain.entitlements.values import value_dump, value_load
from chain.gateway.protocol import Header
from chain.selectors import address_book

K = TypeVar("K")
V = TypeVar("V")

# Nobody asks about a block for long after it ceased to be the newest.
FACT_TTL_MS = 30_000
# For so long a process waits for what another one is asking, looking again after each pause; then it asks itself. The
# mark of a process that died has passed by then.
WAIT_S = 1.0
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Fact(Generic[K, V]):
    """One kind of fact about a block. Subjects are told apart by their `str`.

    `ask` gives the fact of every subject it is asked about; `dump` and `parse` turn one into JSON and back, and `parse`
    raises `ValueError` for what is not a fact about its subject at that block.
    """

    kind: str
    ask: Callable[[Sequence[K], Header], Mapping[K, V]]
    dump: Callable[[V], Any]
    parse: Callable[[K, Any, Header], V]


def facts_at(fact: Fact[K, V], subjects: Iterable[K], block: Header) -> dict[K, V]:
    """The facts of these subjects at a block: from the broker, else from the node, in one question for all the missing.

    Raises what `fact.ask` raises.
    """
    wanted = list(dict.fromkeys(subjects))
    cache = broker_cache()
    if not wanted:
        return {}
    if cache is None:
        return dict(fact.ask(wanted, block))
    place = _Place(fact, prefix(address_book()), block)
    found = place.read(cache, wanted)
    missing = [subject for subject in wanted if subject not in found]
    if missing:
        found |= _joined(place).ask(missing)
    return {subject: found[subject] for subject in wanted}


def prefix(book: AddressBook) -> str:
    """The beginning of every key: the form of the values, the chain and the contracts."""
    return f"weighhouse:entitlements:1:{book.chain_id}:{book.contracts_hash}"


def value_of(content: bytes | None, parse: Callable[[Any], V]) -> V | None:
    """What lies in the broker, `None` where that is nothing, a mark, or not what it should be."""
    if content is None or content == ASKING:
        return None
    try:
        return parse(value_load(content))
    except ValueError:
        return None


def wait_for(look: Callable[[], bool]) -> None:
    """Look until `look` says that there is nothing left to wait for, at most `WAIT_S`."""
    until = time.monotonic() + WAIT_S
    while not look() and time.monotonic() < until:
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class _Place(Generic[K, V]):
    """Where the facts of one kind about one block lie."""

    fact: Fact[K, V]
    prefix: str
    block: Header

    def key(self, subject: K) -> str:
        return f"{self.prefix}:{self.block.hash}:{self.fact.kind}:{subject}"

    def read(self, cache: BrokerCache, subjects: Sequence[K]) -> dict[K, V]:
        return self._parsed(subjects, cache.read([self.key(subject) for subject in subjects]))

    def ask(self, subjects: Sequence[K]) -> dict[K, V]:
        """Ask about those that nobody asks about yet, and wait for the others.

        1. Mark the subjects in the broker. What another process has marked, or answered meanwhile, is not asked again.
        2. Ask the node about the others in one question. Where that fails, the marks go and whoever waits asks.
        3. Wait for what other processes ask. What does not come is asked here after all.
        """
        cache = broker_cache()
        if cache is None:
            return dict(self.fact.ask(subjects, self.block))
        keys = {subject: self.key(subject) for subject in subjects}
        marked = cache.claim(list(keys.values()))
        mine = [subject for subject in subjects if keys[subject] in marked]
        try:
            answers = self._ask_node(cache, mine)
        except BaseException:
            cache.drop(marked)
            raise
        answers |= self._wait(cache, [subject for subject in subjects if subject not in answers])
        return answers | self._ask_node(cache, [subject for subject in subjects if subject not in answers])

    def _ask_node(self, cache: BrokerCache, subjects: Sequence[K]) -> dict[K, V]:
        if not subjects:
            return {}
        answers = dict(self.fact.ask(subjects, self.block))
        values = {self.key(subject): value_dump(self.fact.dump(answers[subject])) for subject in subjects}
        cache.write(values, ttl_ms=FACT_TTL_MS)
        return answers

    def _wait(self, cache: BrokerCache, subjects: Sequence[K]) -> dict[K, V]:
        """What other processes answer in time. Somebody who gave up, died or wrote nonsense is not waited for."""
        found: dict[K, V] = {}

        def look() -> bool:
            left = [subject for subject in subjects if subject not in found]
            contents = cache.read([self.key(subject) for subject in left]) if left else []
            found.update(self._parsed(left, contents))
            return ASKING not in contents

        wait_for(look)
        return found

    def _parsed(self, subjects: Sequence[K], contents: Sequence[bytes | None]) -> dict[K, V]:
        found: dict[K, V] = {}
        for subject, content in zip(subjects, contents, strict=True):
            value = value_of(content, partial(self._parse, subject))
            if value is not None:
                found[subject] = value
        return found

    def _parse(self, subject: K, value: Any) -> V:
        return self.fact.parse(subject, value, self.block)


@lru_cache(maxsize=64)
def _joined(place: _Place[K, V]) -> Joined[K, V]:
    """Where this process's threads meet who ask the same kind of thing about the same block."""
    return Joined(place.ask)
