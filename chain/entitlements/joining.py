"""Questions of many threads, put as one."""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Round(Generic[K, V]):
    keys: dict[K, None] = field(default_factory=dict)
    answers: "Future[Mapping[K, V]]" = field(default_factory=Future)


class Joined(Generic[K, V]):
    """One question at a time; what is asked meanwhile waits and is put together as the next one.

    1. The first thread of a round leads it: it waits until the round before is answered, closes its own and asks.
    2. A thread that comes before that adds its keys and waits for the leader's answer.
    A lone thread waits for nobody, and an answer is never older than the question. No timer is involved. What asking
    raises reaches everybody of that round.
    """

    def __init__(self, ask: Callable[[list[K]], Mapping[K, V]]) -> None:
        self._ask = ask
        self._gathering: _Round[K, V] | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def ask(self, keys: Iterable[K]) -> dict[K, V]:
        """The answers for `keys`. Raises what `ask` raised."""
        wanted = list(keys)
        with self._lock:
            leads = self._gathering is None
            mine = self._gathering = self._gathering or _Round()
            mine.keys |= dict.fromkeys(wanted)
        if leads:
            self._lead(mine)
        answers = mine.answers.result()
        return {key: answers[key] for key in wanted}

    def _lead(self, mine: _Round[K, V]) -> None:
        with self._turn:
            with self._lock:
                self._gathering = None
            try:
                mine.answers.set_result(self._ask(list(mine.keys)))
            except BaseException as error:
                # Those who wait must hear of it, whatever it is.
                mine.answers.set_exception(error)
                raise
