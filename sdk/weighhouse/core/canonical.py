"""Canonical JSON (RFC 8785) and strict reading of JSON that somebody else wrote."""

import json
from typing import Any, NoReturn

import rfc8785

from weighhouse.core.errors import WeighhouseError

_MAX_DEPTH = 64
# Values in one document. A tokenizer of 250,000 tokens has about 2 million; each costs some 100 bytes once parsed.
_MAX_VALUES = 4_000_000


class JsonError(WeighhouseError):
    """Bytes are not JSON of the accepted kind: UTF-8, no duplicate keys, no NaN, bounded depth."""

    code = "json.invalid"


def dumps(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value.

    Raises JsonError for what JSON or the RFC cannot hold (NaN, integers beyond 2^53, lone surrogates).
    """
    try:
        return _written(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise JsonError(f"The value has no canonical JSON form: {error}.") from error


def _written(value: Any) -> bytes:
    """What `rfc8785.dumps` writes. Numbers in long lists, as of embeddings, take a third of its time.

    A number that Python writes without an exponent, and not as a whole one, it writes as ECMAScript does: with the
    fewest digits that tell it apart. The library writes all others, and whatever else is no list or object.
    """
    if type(value) is dict and value and all(type(key) is str for key in value):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16be"))
        return b"{" + b",".join(rfc8785.dumps(name) + b":" + _written(item) for name, item in members) + b"}"
    if type(value) is not list or not value:
        return rfc8785.dumps(value)
    if set(map(type, value)) == {float}:
        texts = [
            rfc8785.dumps(number).decode() if "e" in text or "n" in text or text[-2:] == ".0" else text
            for number, text in zip(value, map(repr, value), strict=True)
        ]
        return b"[" + ",".join(texts).encode() + b"]"
    return b"[" + b",".join(map(_written, value)) + b"]"


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not allowed in JSON.")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"The key {key[:80]!r} appears twice in one object.")
            seen.add(key)
    return result


def _depth_check(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise JsonError(f"The JSON is nested more than {_MAX_DEPTH} levels deep.")


def loads(data: bytes) -> Any:
    """Parse JSON strictly. Raises JsonError on bad UTF-8, duplicate keys, NaN, deep nesting, or too many values."""
    if len(data) > _MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise JsonError(f"The JSON holds more than {_MAX_VALUES} values.")
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise JsonError(f"The JSON is not UTF-8: byte {error.start} cannot be decoded.") from None
    except RecursionError:
        raise JsonError("The JSON is nested too deeply.") from None
    except ValueError as error:  # JSONDecodeError, and integers with too many digits
        raise JsonError(f"Not JSON: {error}.") from None
    _depth_check(value)
    return value
