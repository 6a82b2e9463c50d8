"""Where no control group counts memory: look, and end what uses too much. The demo's stand-in."""

import contextlib
import logging
import resource
import subprocess
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.05
_PAGE = resource.getpagesize()


class Watchdog:
    """Adds up the resident memory of a process and its descendants twenty times a second.

    RLIMIT_AS caps each process beside it, so that what grows between two looks is bounded.
    """

    def __init__(self, popen: subprocess.Popen[bytes], *, memory_bytes: int) -> None:
        self.has_fired = False
        self.last_seen = 0
        self._popen, self._memory_bytes = popen, memory_bytes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="runner-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_INTERVAL_S) and self._popen.poll() is None:
            self.last_seen = sum(map(_resident_bytes, family(self._popen.pid)))
            if self.last_seen > self._memory_bytes:
                self.has_fired = True
                logger.warning("runner %d used %d bytes and was ended", self._popen.pid, self.last_seen)
                self._popen.kill()


def family(pid: int) -> list[int]:
    """A process and its descendants, parents before children."""
    members = [pid]
    for member in members:
        # Processes end while one looks.
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                members += map(int, children.read_text().split())
    return members


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
