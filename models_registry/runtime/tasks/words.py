"""What is text, and how a value is named in a message."""

import re
from typing import Any

# A text holds something to read and no NUL. Stated in the schemas, enforced by the validators.
TEXT_PATTERN = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
CLEAN_PATTERN = r"^[^\u0000]+$"
_VISIBLE = re.compile(r"\S")


def is_clean(text: str) -> bool:
    """Whether it holds neither a NUL nor half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_visible(text: str) -> bool:
    """Whether it holds something to read."""
    return _VISIBLE.search(text) is not None


def describe(value: Any) -> str:
    """A value in a message: short, printable whatever it holds."""
    if isinstance(value, int) and abs(value) > 2**64:
        return "a far larger number"  # writing out a huge one takes long, or fails
    if isinstance(value, str):
        return ascii(value[:80])[:80]
    if isinstance(value, int | float | bool) or value is None:
        return ascii(value)[:80]
    return f"a {type(value).__name__}"
