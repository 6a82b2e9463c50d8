"""How many of a worker process's threads the jobs of one account hold, so that one is there for somebody else's."""

import threading
from collections import Counter
from typing import Any

from django.conf import settings


class Seats:
    """The threads of this process that hold jobs, by account. Thread-safe. Nothing is bounded before `threads` is told.

    The bound is on what this process runs: a crash leaves nothing to mend, and another worker's threads count there.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads
        self._lock = threading.Lock()
        self._held: Counter[Any] = Counter()
        self._freed = self._passed_over = 0
        self._somebody_waits = False

    def look(self) -> "Look":
        """Begin to look for a job."""
        with self._lock:
            return Look(self, freed=self._freed, passed_over=self._passed_over)

    def has_room(self, account_id: Any) -> bool:
        """Whether the account may have one more thread."""
        with self._lock:
            return self._has_room(account_id)

    def take(self, account_id: Any) -> bool:
        """Take a thread for a job of the account. False where others took threads since it had room."""
        with self._lock:
            if has_room := self._has_room(account_id):
                self._held[account_id] += 1
            return has_room

    def free(self, account_id: Any) -> bool:
        """Give it back. True where somebody who was passed over may have it."""
        with self._lock:
            self._held[account_id] -= 1
            if self._held[account_id] <= 0:
                del self._held[account_id]
            self._freed += 1
            return self._somebody_waits

    def end(self, look: "Look") -> bool:
        """A look found nothing to take. False where it is worth another one: a thread was given back meanwhile."""
        with self._lock:
            if look.has_passed_over:
                self._passed_over += 1
                self._somebody_waits = True
                return look.freed == self._freed
            if look.passed_over == self._passed_over:
                self._somebody_waits = False
            return True

    def _has_room(self, account_id: Any) -> bool:
        part, held = settings.JOB_THREADS_FOR_OTHERS, self._held[account_id]
        if self.threads is None or part <= 0 or held == 0:
            return True
        free = self.threads - self._held.total()
        # Alone an account gets all but that part; the more threads others hold, the fewer it gets of what is left.
        return free > 1 and held * part < free * (1 - part)


class Look:
    """What was so when a thread began to look for a job, and whether it passed an account over."""

    def __init__(self, seats: Seats, *, freed: int, passed_over: int) -> None:
        self.freed, self.passed_over, self.has_passed_over = freed, passed_over, False
        self._seats = seats

    def admits(self, account_id: Any) -> bool:
        """Whether a job of the account may be taken. It is passed over where not."""
        admits = self._seats.has_room(account_id)
        self.has_passed_over |= not admits
        return admits


# This process's own.
worker_seats = Seats()
