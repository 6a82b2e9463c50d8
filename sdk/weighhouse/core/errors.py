"""The base of every error that crosses a module boundary."""

from typing import Any, ClassVar


class WeighhouseError(Exception):
    """An error with a stable `code`, a sentence for people and data for programs.

    `code` is dotted (`licence.expired`) and never changes once released. `retryable` says whether
    the same call may succeed later without a change by the caller. The message says what was
    expected, what came, and what to do next. `data` is JSON-serialisable and safe to show to the
    caller: no secrets, no paths of the server.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
