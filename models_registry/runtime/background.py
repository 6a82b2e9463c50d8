"""Letting a process start without taking processor time from those that work."""

import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from models_registry.runtime.watchdog import family

_LOOK_S = 0.05
_WORK_S, _REST_S = 0.05, 0.1
_CAP_SYS_NICE = 1 << 23
_LOWEST = 19


class Background:
    """While the block runs, a process and its descendants give way to others; afterwards they are as others are.

    By the lowest priority, where this process has the right to take that back. Elsewhere the youngest of the family,
    which is the one that computes, is stopped for two thirds of the time. `weigh(True)` makes its control group light,
    within which alone a priority counts, and `weigh(False)` as heavy as a runner's.
    """

    def __init__(self, pid: int, *, weigh: Callable[[bool], None] = lambda is_light: None) -> None:
        self._pid, self._weigh = pid, weigh
        self._done = threading.Event()
        work = self._keep_low if _may_raise_priority() else self._keep_pausing
        self._thread = threading.Thread(target=work, name="runner-background", daemon=True)

    def __enter__(self) -> "Background":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self) -> None:
        """As entering the block does. `end` has to follow."""
        self._weigh(True)
        self._thread.start()

    def end(self) -> None:
        """From now on it is as others are, although the block still runs. From any thread, and more than once."""
        self._done.set()
        self._thread.join()
        self._weigh(False)

    def _keep_low(self) -> None:
        # Again and again: a child that was made meanwhile has the priority of its parent at that moment.
        while not self._done.wait(_LOOK_S):
            self._set(_LOWEST)
        self._set(os.getpriority(os.PRIO_PROCESS, 0))

    def _set(self, priority: int) -> None:
        for pid in family(self._pid):
            with contextlib.suppress(OSError):  # processes end while one looks
                os.setpriority(os.PRIO_PROCESS, pid, priority)

    def _keep_pausing(self) -> None:
        while not self._done.wait(_WORK_S):
            # By descriptor: a number may be another process's by the time that the signal is sent.
            with contextlib.suppress(OSError), _opened(self._pid) as youngest:
                signal.pidfd_send_signal(youngest, signal.SIGSTOP)
                try:
                    self._done.wait(_REST_S)
                finally:
                    signal.pidfd_send_signal(youngest, signal.SIGCONT)


@contextlib.contextmanager
def _opened(pid: int) -> Iterator[int]:
    """A descriptor of the youngest. Raises OSError where there is none any more."""
    youngest = family(pid)[-1]
    descriptor = os.pidfd_open(youngest)
    try:
        if family(pid)[-1] != youngest:
            raise ProcessLookupError
        yield descriptor
    finally:
        os.close(descriptor)


def _may_raise_priority() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    if int(effective, 16) & _CAP_SYS_NICE:
        return True
    # Without the capability, for processes of the same user alone, up to a limit that counts from 20, the lowest
    # priority, upward: getrlimit(2).
    soft, _ = resource.getrlimit(resource.RLIMIT_NICE)
    reaches = soft == resource.RLIM_INFINITY or soft >= 20 - os.getpriority(os.PRIO_PROCESS, 0)
    return os.geteuid() != 0 and reaches
