"""A node's JSON made into our types. A node is not trusted: another form is `NodeUnavailable`, never a crash."""

import re
from collections.abc import Sequence
from typing import Any

from chain.abi import checksum
from chain.gateway.errors import NodeUnavailable
from chain.gateway.protocol import Header, RawLog, Receipt, SealedHeader
from chain.gateway.seal import bloom_verified

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_DATA = re.compile(r"0x([0-9a-f]{2})*")
# What a database's integer column holds, and the last second of the year 9999, where Python's dates end.
POSITION_MAX = 2**63 - 1
TIMESTAMP_MAX = 253_402_300_799


def number_parse(value: Any) -> int:
    """A quantity such as `0x1f`."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _malformed("a number")
    return int(value, 16)


def position_parse(value: Any, what: str, *, most: int = POSITION_MAX) -> int:
    """A quantity that has to fit in our columns: a block's number or time, a place in a block. `what` names it."""
    number = number_parse(value)
    if number > most:
        raise NodeUnavailable(f"The node answered a {what} beyond {most}, which no chain reaches.")
    return number


def hash_parse(value: Any) -> str:
    return _matching(_HASH, value, "a hash")


def address_parse(value: Any) -> str:
    return _matching(_ADDRESS, value, "an address")


def bytes_parse(value: Any) -> bytes:
    return bytes.fromhex(_matching(_DATA, value, "bytes")[2:])


def header_parse(value: Any) -> Header:
    if not isinstance(value, dict):
        raise _malformed("a block")
    return Header(
        number=position_parse(value.get("number"), "block number"),
        hash=hash_parse(value.get("hash")),
        parent_hash=hash_parse(value.get("parentHash")),
        timestamp=position_parse(value.get("timestamp"), "block time", most=TIMESTAMP_MAX),
    )


def sealed_header_parse(value: Any) -> SealedHeader:
    """A header with its bloom filter, where the block's hash proves that one."""
    header = header_parse(value)
    return SealedHeader(
        header.number, header.hash, header.parent_hash, header.timestamp, logs_bloom=bloom_verified(value)
    )


def log_parse(value: Any) -> RawLog:
    if not isinstance(value, dict) or not isinstance(value.get("topics"), list) or len(value["topics"]) > 4:
        raise _malformed("a log")
    return RawLog(
        address=address_parse(value.get("address")),
        topics=tuple(hash_parse(topic) for topic in value["topics"]),
        data=_matching(_DATA, value.get("data"), "bytes"),
        block_number=position_parse(value.get("blockNumber"), "block number"),
        block_hash=hash_parse(value.get("blockHash")),
        tx_hash=hash_parse(value.get("transactionHash")),
        tx_index=position_parse(value.get("transactionIndex"), "transaction index"),
        log_index=position_parse(value.get("logIndex"), "log index"),
    )


def logs_parse(value: Any, addresses: Sequence[str]) -> list[RawLog]:
    """Logs of these addresses; any other that the node adds is left out, and so are those that a node calls removed."""
    if not isinstance(value, list):
        raise _malformed("a list of logs")
    wanted = {address.lower() for address in addresses}
    logs = [log_parse(item) for item in value if not (isinstance(item, dict) and item.get("removed"))]
    return [log for log in logs if log.address in wanted]


def receipt_parse(value: Any) -> Receipt:
    if not isinstance(value, dict):
        raise _malformed("a receipt")
    created = value.get("contractAddress")
    return Receipt(
        tx_hash=hash_parse(value.get("transactionHash")),
        block_number=position_parse(value.get("blockNumber"), "block number"),
        block_hash=hash_parse(value.get("blockHash")),
        succeeded=number_parse(value.get("status")) == 1,
        sender=checksum(address_parse(value.get("from"))),
        gas_used=position_parse(value.get("gasUsed"), "gas use"),
        contract_address=None if created is None else checksum(address_parse(created)),
    )


def _matching(form: re.Pattern[str], value: Any, what: str) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if not form.fullmatch(text):
        raise _malformed(what)
    return text


def _malformed(what: str) -> NodeUnavailable:
    return NodeUnavailable(f"The node answered something that is not {what}.")
