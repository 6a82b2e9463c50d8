"""Logs decoded a second time, with `eth_abi` and the committed ABI alone: nothing of the indexer's decoder is used."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import collapse_if_tuple, event_abi_to_log_topic
from eth_utils.address import to_checksum_address

from chain.abi import artefact
from chain.gateway.protocol import Header, RawLog

# Libraries name these arguments as they like; the index has the words of EIP-721 and EIP-4906.
_NAMES = {
    "Transfer": ("from", "to", "tokenId"),
    "Approval": ("owner", "approved", "tokenId"),
    "ApprovalForAll": ("owner", "operator", "approved"),
    "MetadataUpdate": ("tokenId",),
    "BatchMetadataUpdate": ("fromTokenId", "toTokenId"),
}


class NotDescribedError(ValueError):
    """A log that the contract's ABI does not describe."""


@dataclass(frozen=True, slots=True)
class AuditedLog:
    """A log as the chain has it. Integers are `int`, addresses checksummed, bytes `0x` hex, structs dicts."""

    raw: RawLog
    contract: str
    name: str
    args: dict[str, Any]
    block_time: datetime

    @property
    def place(self) -> tuple[int, int]:
        return self.raw.block_number, self.raw.log_index

    def __str__(self) -> str:
        return f"{self.name} at {self.raw.block_number}/{self.raw.log_index}"


def log_decode(raw: RawLog, *, contract: str, header: Header) -> AuditedLog:
    """Raises `NotDescribedError`."""
    item = _events(contract).get(raw.topics[0] if raw.topics else "")
    if item is None:
        raise NotDescribedError("no event of the ABI has its topic")
    inputs = item["inputs"]
    names = _NAMES.get(item["name"]) or [part["name"] for part in inputs]
    indexed = [part for part in inputs if part["indexed"]]
    plain = [part for part in inputs if not part["indexed"]]
    if len(indexed) != len(raw.topics) - 1:
        raise NotDescribedError(f"{item['name']} has {len(indexed)} indexed arguments")
    try:
        topics = iter([_values([part], topic)[0] for part, topic in zip(indexed, raw.topics[1:], strict=True)])
        data = iter(_values(plain, raw.data))
    except (DecodingError, ValueError, OverflowError) as error:
        raise NotDescribedError(f"its values are not those of {item['name']}") from error
    args = {name: next(topics if part["indexed"] else data) for name, part in zip(names, inputs, strict=True)}
    return AuditedLog(raw, contract, item["name"], args, datetime.fromtimestamp(header.timestamp, UTC))


def as_stored(value: Any) -> Any:
    """An argument as JSON holds it: integers in decimal, since JSON's numbers end at 2^53."""
    if isinstance(value, dict):
        return {name: as_stored(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_stored(part) for part in value]
    return f"{value:d}" if type(value) is int else value


@lru_cache
def _events(contract: str) -> dict[str, dict[str, Any]]:
    """The ABI's events by their first topic."""
    items: list[Any] = [item for item in artefact(contract).abi if item["type"] == "event"]
    return {"0x" + event_abi_to_log_topic(item).hex(): item for item in items}


def _values(items: list[dict[str, Any]], data: str) -> list[Any]:
    values = decode([collapse_if_tuple(item) for item in items], bytes.fromhex(data[2:]))
    return [_plain(item, value) for item, value in zip(items, values, strict=True)]


def _plain(item: dict[str, Any], value: Any) -> Any:
    kind = item["type"]
    if kind.endswith("[]"):
        return [_plain({**item, "type": kind[:-2]}, part) for part in value]
    if kind == "tuple":
        return {part["name"]: _plain(part, one) for part, one in zip(item["components"], value, strict=True)}
    if kind == "address":
        return to_checksum_address(value)
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    # PostgreSQL refuses NUL in text.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
