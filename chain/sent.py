"""A transaction that somebody sent, as a node tells it. Parsed as strictly as `chain.gateway.parse` does."""

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import checksum
from chain.gateway.errors import NodeUnavailable
from chain.gateway.parse import address_parse, bytes_parse, hash_parse, number_parse, position_parse


@dataclass(frozen=True, slots=True)
class Place:
    """A block: its height and its hash."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class SentTransaction:
    """`to` is None for a deployment, `place` while no block holds it. Addresses are checksummed, `value` is in wei."""

    tx_hash: str
    sender: str
    nonce: int
    to: str | None
    value: int
    data: bytes
    place: Place | None

    @property
    def call_hash(self) -> str:
        """keccak256 of what it does: recipient, value and data. Equal for a transaction and its speed-up."""
        return "0x" + keccak(f"{self.to}/{self.value}/".encode() + self.data).hex()

    @property
    def is_cancel(self) -> bool:
        """Whether it is what wallets send to cancel another one: nothing, to oneself."""
        return self.to == self.sender and self.value == 0 and not self.data


def sent_parse(value: Any) -> SentTransaction:
    """The transaction of an answer. Raises `NodeUnavailable` for anything of another form."""
    if not isinstance(value, dict):
        raise NodeUnavailable("The node answered something that is not a transaction.")
    to, block_hash = value.get("to"), value.get("blockHash")
    return SentTransaction(
        tx_hash=hash_parse(value.get("hash")),
        sender=checksum(address_parse(value.get("from"))),
        nonce=position_parse(value.get("nonce"), "nonce"),
        to=None if to is None else checksum(address_parse(to)),
        value=number_parse(value.get("value")),
        data=bytes_parse(value.get("input", value.get("data"))),
        place=None
        if block_hash is None
        else Place(position_parse(value.get("blockNumber"), "block number"), hash_parse(block_hash)),
    )
