"""Batches beside each other, each on a thread of its own, instead of one after the other on all threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

ResultT = TypeVar("ResultT")


class Workers:
    """`count` threads that compute, each alone: they never wait for each other within a batch.

    Threads that share a matrix meet after every step, and each meeting lasts until the last has come, which on shared
    cores may be a time slice later. The threads start with the first use, so that they are locked in as their maker is.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, "batch", initializer=_begin)

    def run(self, jobs: Sequence[Callable[[], ResultT]], *, look: Callable[[], None]) -> list[ResultT]:
        """The result of each job; they begin in order. `look` is called between them, and what it raises ends the run.

        Raises what a job raises. No job runs any more afterwards.
        """
        futures: list[Future[ResultT]] = []
        try:
            futures += map(self._threads.submit, jobs)
            results = []
            for future in futures:
                look()
                results.append(future.result())
            return results
        finally:
            for future in futures:
                future.cancel()
            wait(futures)


def _begin() -> None:
    """Both are settings of a thread, not of the process."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
