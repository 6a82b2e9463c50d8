"""Starting processes that must die with this one."""

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Launcher:
    """A thread that lives as long as its owner, and starts processes on behalf of others.

    PR_SET_PDEATHSIG, which `bwrap --die-with-parent` uses, fires when the *thread* that started the
    process ends, not the process (prctl(2)). A runner started from a pool's passing thread would be
    killed with it; so every runner is started here.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="runner-launcher", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the thread and return what it returns."""
        if os.getpid() != self._pid:
            raise RuntimeError("A launcher belongs to the process that made it; make one after the fork.")
        if not self._thread.is_alive():
            raise RuntimeError("The launcher is closed.")
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future.result()

    def close(self) -> None:
        """End the thread, and with it every process that it started."""
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            function, future = item
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - carried to the caller by the future
                future.set_exception(error)
