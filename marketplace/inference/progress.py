"""What a worker tells about a job while it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from marketplace.inference import events
from marketplace.inference.models import Job

# Pieces that come faster than this are told together.
BATCH_S = 0.03
BATCH_CHARS = 2048
# Beyond this much text of one job nothing more is told: the rest comes with the result.
MOST_CHARS = 1024 * 1024


@dataclass(slots=True)
class _Pending:
    """Text of one input that was not told yet, and where it begins."""

    at: int = 0
    text: str = ""


class TextTeller:
    """Tells the text that a model generates, piece by piece. For one attempt; not thread-safe.

    The first piece goes out at once. Those that follow within `BATCH_S` go together. `close` tells what is left.
    `after` is called before anything is told.
    """

    def __init__(self, job: Job, *, after: Callable[[], None] = lambda: None) -> None:
        self._job, self._after = job, after
        self._pending: dict[int, _Pending] = {}
        self._told_at = 0.0
        self._chars = 0

    @property
    def has_told(self) -> bool:
        """Whether any text was given to it: who follows the job may have read it."""
        return self._chars > 0

    def __call__(self, position: int, text: str) -> None:
        """`RunnerPool.run`'s `on_text`."""
        if not text or self._chars >= MOST_CHARS:
            return
        self._chars += len(text)
        pending = self._pending.setdefault(position, _Pending())
        pending.text += _clean(text)
        if time.monotonic() - self._told_at >= BATCH_S or len(pending.text) >= BATCH_CHARS:
            self.close()

    def close(self) -> None:
        """Tell what was not told yet. To be called before the job ends."""
        for position, pending in self._pending.items():
            if not pending.text:
                continue
            self._after()
            data = {"attempt": self._job.attempts, "position": position, "at": pending.at, "text": pending.text}
            events.job_event_add(self._job.pk, events.TEXT, data)
            pending.at, pending.text = pending.at + len(pending.text), ""
        self._told_at = time.monotonic()


def _clean(text: str) -> str:
    """Text as the result has it: JSON cannot hold half of a surrogate pair, nor a database NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
