"""What may come between a request to a runner and its last word: pieces of text, and the wish to stop.

The runner may be in the hands of the model it runs, so each piece is checked: type, size, order, number, and at
the end that the pieces are the text.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from models_registry.runtime.errors import RunnerCancelledError, RunnerProtocolError

OnText = Callable[[int, str], None]

CANCELLED = "The run was cancelled before it ended. Nothing came of it."
_PIECE_CHARS = 65_536
_WORDS = "The runner's pieces of text were refused"


class Stop:
    """Whether a running request is still wanted. A runner that is asked to stop and does not is given up.

    1. While the request is sent, `look_early` raises as soon as `is_cancelled` says so: half a request is of no use.
    2. While an answer is awaited, `look` is called; once `is_cancelled` says so, the runner is told by `tell`.
    3. It has `grace_s` to end in order, by an answer or a refusal; then it lives on, and `reason` is raised.
    4. After that, or where it could not be told, `look` raises `reason` itself, and the owner ends the runner.
    """

    def __init__(self, *, tell: Callable[[], None], is_cancelled: Callable[[], bool], grace_s: float) -> None:
        self.reason: Exception | None = None
        self._tell, self._is_cancelled, self._grace_s = tell, is_cancelled, grace_s
        self._give_up_at = 0.0

    def look_early(self) -> None:
        """Raises RunnerCancelledError."""
        if self._is_cancelled():
            raise RunnerCancelledError(CANCELLED)

    def look(self) -> None:
        """Raises `reason` when the runner did not stop in time."""
        if self.reason is None:
            if self._is_cancelled():
                self.ask(RunnerCancelledError(CANCELLED))
        elif time.monotonic() >= self._give_up_at:
            raise self.reason

    def ask(self, reason: Exception) -> None:
        """Tell the runner to stop. The first reason stays. Raises it where the runner does not listen."""
        if self.reason is None:
            self.reason, self._give_up_at = reason, time.monotonic() + self._grace_s
            try:
                self._tell()
            except (TimeoutError, OSError) as error:
                raise reason from error


class Pieces:
    """The texts of one request as they come, handed on in order.

    `most_pieces` and `most_bytes` bound what is accepted. A failure of `on_text` stops the request.
    """

    def __init__(self, on_text: OnText, *, count: int, most_pieces: int, most_bytes: int) -> None:
        self._on_text, self._most_pieces, self._bytes_left = on_text, most_pieces, most_bytes
        self._pieces: list[list[str]] = [[] for _ in range(count)]
        self._number = self._position = 0

    def take(self, message: Mapping[str, Any], stop: Stop) -> None:
        """Check one `part` message and hand its text on. Raises RunnerProtocolError."""
        position, text = message.get("position"), message.get("text")
        if type(position) is not int or not self._position <= position < len(self._pieces):
            raise RunnerProtocolError(f"{_WORDS}: they are out of order. The runner was ended.")
        if not isinstance(text, str) or not 1 <= len(text) <= _PIECE_CHARS:
            raise RunnerProtocolError(f"{_WORDS}: one has no text, or too much. The runner was ended.")
        self._number += 1
        self._bytes_left -= len(text.encode())
        if self._number > self._most_pieces or self._bytes_left < 0:
            raise RunnerProtocolError(f"{_WORDS}: there are too many. The runner was ended.")
        self._position = position
        text = text.replace("\0", "\ufffd")  # as in the whole text
        self._pieces[position].append(text)
        if stop.reason is None:
            try:
                self._on_text(position, text)
            except Exception as error:  # noqa: BLE001 - the caller's, carried back to it
                stop.ask(error)

    def check(self, outputs: list[Any]) -> None:
        """Raises RunnerProtocolError where the pieces are not the texts."""
        if ["".join(pieces) for pieces in self._pieces] != [output["text"] for output in outputs]:
            raise RunnerProtocolError(f"{_WORDS}: they are not the text of the answer. The runner was ended.")
