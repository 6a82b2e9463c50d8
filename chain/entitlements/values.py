"""Facts as they lie in the broker: canonical JSON of strings, booleans and lists, integers as decimal strings.

Each `*_parse` gets the subject that was asked about and raises `ValueError` for whatever is not a fact about it.
"""

import re
from dataclasses import fields
from typing import Any, TypeVar

import orjson

from chain.abi import checksum
from chain.gateway.parse import POSITION_MAX, TIMESTAMP_MAX
from chain.gateway.protocol import Header
from chain.selectors import LicenceState, MarketSettings, ModelClock

Row = TypeVar("Row", LicenceState, MarketSettings, ModelClock)

UINT256_MAX = 2**256 - 1
VALUE_MAX_BYTES = 64 * 1024
_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
# What a string of these rows is. Every other string is an address.
_HASH_FIELDS = frozenset({"block_hash"})


def value_dump(value: Any) -> bytes:
    """The RFC 8785 form: strings here are ASCII and there are no numbers, so that sorting the keys is all of it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def value_load(content: bytes) -> Any:
    """Raises `ValueError` for what `value_dump` does not write."""
    if len(content) > VALUE_MAX_BYTES:
        raise ValueError("A value is too long.")
    value = orjson.loads(content)
    if value_dump(value) != content:
        raise ValueError("A value is not in canonical form.")
    return value


def header_json(header: Header) -> dict[str, str]:
    return {
        "number": str(header.number),
        "hash": header.hash,
        "parent_hash": header.parent_hash,
        "timestamp": str(header.timestamp),
    }


def header_parse(value: Any) -> Header:
    names = {part.name for part in fields(Header)}
    _require(isinstance(value, dict) and value.keys() == names)
    return Header(
        number=number_parse(value["number"], most=POSITION_MAX),
        hash=hash_parse(value["hash"]),
        parent_hash=hash_parse(value["parent_hash"]),
        timestamp=number_parse(value["timestamp"], most=TIMESTAMP_MAX),
    )


def licence_json(state: LicenceState) -> dict[str, Any]:
    return _row_json(state)


def licence_parse(licence_id: int, value: Any, block: Header) -> LicenceState:
    state = _row_parse(LicenceState, value)
    _require(state.licence_id == licence_id)
    _require((state.block_number, state.block_hash) == (block.number, block.hash))
    return state


def clock_json(clock: ModelClock) -> dict[str, Any]:
    return _row_json(clock)


def clock_parse(model_id: int, value: Any, _block: Header) -> ModelClock:
    clock = _row_parse(ModelClock, value)
    _require(clock.model_id == model_id)
    return clock


def market_json(market: MarketSettings) -> dict[str, Any]:
    return _row_json(market)


def market_parse(value: Any) -> MarketSettings:
    return _row_parse(MarketSettings, value)


def number_parse(value: Any, *, most: int = UINT256_MAX) -> int:
    _require(isinstance(value, str) and _NUMBER.fullmatch(value) is not None)
    number = int(value)
    _require(number <= most)
    return number


def numbers_parse(value: Any) -> list[int]:
    _require(isinstance(value, list))
    return [number_parse(item) for item in value]


def hash_parse(value: Any) -> str:
    _require(isinstance(value, str) and _HASH.fullmatch(value) is not None)
    return str(value)


def hash_or_empty_parse(value: Any) -> str:
    """The empty string says that there is none."""
    return "" if value == "" else hash_parse(value)


def _row_json(row: LicenceState | MarketSettings | ModelClock) -> dict[str, Any]:
    told = {part.name: (part.type, getattr(row, part.name)) for part in fields(row)}
    return {name: str(value) if kind is int else value for name, (kind, value) in told.items()}


def _row_parse(kind: type[Row], value: Any) -> Row:
    parts = fields(kind)
    _require(isinstance(value, dict) and value.keys() == {part.name for part in parts})
    told: dict[str, Any] = {part.name: _field_parse(part.name, part.type, value[part.name]) for part in parts}
    return kind(**told)


def _field_parse(name: str, kind: Any, value: Any) -> Any:
    if kind is int:
        return number_parse(value)
    if kind is bool:
        _require(isinstance(value, bool))
        return bool(value)
    if name in _HASH_FIELDS:
        return hash_parse(value)
    _require(isinstance(value, str) and _ADDRESS.fullmatch(value) is not None and checksum(value) == value)
    return str(value)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("A value is not of the form that was asked for.")
