"""Logs decoded without a general ABI decoder.

Nearly every event of ours has arguments of fixed size: one 32-byte word each, in the order of the declaration (a struct
is its words in a row). For those, a list of functions from word to value is made once per event. The rules are the
strict ones of the ABI specification: padding that is not empty is an error. Events with arguments of variable size
take the general decoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_utils.address import to_checksum_address

AbiItem = dict[str, Any]
Word = Callable[[str], Any]
# 32 bytes as hex.
WORD = 64


class WordError(ValueError):
    """A word is not a value of its type."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a value comes from: the word's place in the data."""

    place: int
    read: Word


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads the arguments of one event whose data have a fixed size."""

    words: int
    values: tuple[tuple[str, Any], ...]

    def read(self, data: str) -> dict[str, Any]:
        """The values by name. `data` is hex without `0x`. Raises `WordError`."""
        if len(data) != self.words * WORD:
            raise WordError(f"{len(data) // 2} bytes of data in the place of {self.words * 32}")
        return {name: _value(shape, data) for name, shape in self.values}


def codec_of(items: tuple[AbiItem, ...] | list[AbiItem]) -> Codec | None:
    """The codec of these arguments, `None` where one of them has no fixed size."""
    values, place = [], 0
    for item in items:
        shaped = _shape(item, place)
        if shaped is None:
            return None
        shape, place = shaped
        values.append((item["name"], shape))
    return Codec(place, tuple(values))


def word_reader(kind: str) -> Word | None:
    """The function from a word, 64 lower-case hex digits, to a value of the type `kind`; `None` for other types."""
    if kind == "address":
        return _address
    if kind == "bool":
        return _bool
    if kind.startswith("uint") and kind[4:].isdecimal():
        return _uint(int(kind[4:]))
    if kind.startswith("bytes") and kind[5:].isdecimal():
        return _bytes(int(kind[5:]))
    return None


def _shape(item: AbiItem, place: int) -> tuple[Any, int] | None:
    """A leaf, or (name, shape) pairs of a struct, and the place behind it."""
    if item["type"] == "tuple":
        parts = []
        for part in item["components"]:
            shaped = _shape(part, place)
            if shaped is None:
                return None
            shape, place = shaped
            parts.append((part["name"], shape))
        return tuple(parts), place
    read = word_reader(item["type"])
    return None if read is None else (Leaf(place, read), place + 1)


def _value(shape: Any, data: str) -> Any:
    if isinstance(shape, Leaf):
        return shape.read(data[shape.place * WORD : (shape.place + 1) * WORD])
    return {name: _value(part, data) for name, part in shape}


@lru_cache(maxsize=65_536)
def _address(word: str) -> str:
    if word[:24] != "0" * 24:
        raise WordError("an address with more than 20 bytes")
    return str(to_checksum_address("0x" + word[24:]))


def _bool(word: str) -> bool:
    value = int(word, 16)
    if value > 1:
        raise WordError("a truth value that is neither 0 nor 1")
    return value == 1


@lru_cache
def _uint(bits: int) -> Word:
    limit = 1 << bits

    def read(word: str) -> int:
        value = int(word, 16)
        if value >= limit:
            raise WordError(f"a number of more than {bits} bits")
        return value

    return read


@lru_cache
def _bytes(size: int) -> Word:
    end = 2 * size

    def read(word: str) -> str:
        if word[end:].strip("0"):
            raise WordError(f"more than {size} bytes")
        return "0x" + word[:end]

    return read
