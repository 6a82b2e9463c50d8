"""Fields of a runner's reply, read one by one. The runner may be in the hands of its model: nothing is believed.

Every function raises RunnerProtocolError for what an honest runner never sends, and OutputInvalidError for numbers
that are no answer.
"""

import math
from collections.abc import Mapping
from typing import Any

from models_registry.runtime.errors import OutputInvalidError, RunnerProtocolError

Message = Mapping[str, Any]

NOT_FINITE = "The model's answer holds NaN or infinity, so it is no answer. Tell its publisher."
_TOKEN_CHARS = 256


def forged(what: str) -> RunnerProtocolError:
    """The error for a reply that no honest runner sends. `what` begins with "its"."""
    return RunnerProtocolError(f"The runner's answer was refused: {what} cannot be right. The runner was ended.")


def count_of(reply: Message, name: str, *, most: int = 2**53) -> int:
    """A count from 0 to `most`."""
    value = reply.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise forged(f"its {name}")
    return value


def items(value: Any, what: str, *, length: int | None = None, most: int = 2**31) -> list[Any]:
    """A list of `length` items, or of `most` at most."""
    if not isinstance(value, list) or len(value) > most or (length is not None and len(value) != length):
        raise forged(what)
    return value


def entries(reply: Message, name: str, count: int) -> list[Any]:
    """The list `name`, with one entry per input."""
    return items(reply.get(name), f"its {name}", length=count)


def number(value: Any) -> float:
    """A finite number."""
    if type(value) is not float:
        raise forged("its scores")
    if not math.isfinite(value):
        raise OutputInvalidError(NOT_FINITE)
    return value


def index(value: Any, what: str, *, below: int) -> int:
    """A place in a list of `below` items."""
    if type(value) is not int or not 0 <= value < below:
        raise forged(what)
    return value


def check_span(start: Any, end: Any, text: str) -> None:
    """Both are places in the text, in order."""
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(text):
        raise forged("its places in the text")


def span(score: Any, start: Any, end: Any, text: str) -> dict[str, Any]:
    """A part of the text. The words are cut out here: a runner's would not have to be there."""
    check_span(start, end, text)
    return {"start": start, "end": end, "text": text[start:end], "score": number(score)}


def short_text(value: Any, what: str) -> str:
    """A text of a token's length, which a database can keep."""
    if not isinstance(value, str) or len(value) > _TOKEN_CHARS:
        raise forged(what)
    return value.replace("\0", "\ufffd")
