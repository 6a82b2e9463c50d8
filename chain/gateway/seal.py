"""Whether a block's bloom filter may be believed. Pure.

The bloom filter of a header says which addresses wrote no log in the block (yellow paper, section 4.4.1), so that most
blocks need no second question; the logs of the others are asked for by the block's hash (EIP-234). Not every chain and
not every node fills it, and one of zeros would hide every log. It is believed only where the header as it came,
encoded, hashes to the block's own hash: then the bloom is the one that the chain agreed on. One of zeros is believed
only where the block has no receipts either, since a chain may agree to leave it empty (as EIP-7668 proposes).

The fields stand in the order in which forks added them: EIP-1559, 4895, 4844, 4788, 7685, 7928 and 7843.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from eth_utils.crypto import keccak

BLOOM_BITS = 2048
# The root of an empty trie: the block has no receipts.
EMPTY_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
_HEX = re.compile(r"0x([0-9a-fA-F]{2})*")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


def _fixed(length: int) -> Callable[[Any], bytes]:
    def read(value: Any) -> bytes:
        data = _data(value)
        if len(data) != length:
            raise ValueError(length)
        return data

    return read


def _data(value: Any) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError(type(value))
    return bytes.fromhex(value[2:])


def _number(value: Any) -> bytes:
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ValueError(type(value))
    number = int(value, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


_HASH = _fixed(32)
_REQUIRED: tuple[tuple[str, Callable[[Any], bytes]], ...] = (
    ("parentHash", _HASH),
    ("sha3Uncles", _HASH),
    ("miner", _fixed(20)),
    ("stateRoot", _HASH),
    ("transactionsRoot", _HASH),
    ("receiptsRoot", _HASH),
    ("logsBloom", _fixed(BLOOM_BITS // 8)),
    ("difficulty", _number),
    ("number", _number),
    ("gasLimit", _number),
    ("gasUsed", _number),
    ("timestamp", _number),
    ("extraData", _data),
    ("mixHash", _HASH),
    ("nonce", _fixed(8)),
)
_OPTIONAL: tuple[tuple[str, Callable[[Any], bytes]], ...] = (
    ("baseFeePerGas", _number),
    ("withdrawalsRoot", _HASH),
    ("blobGasUsed", _number),
    ("excessBlobGas", _number),
    ("parentBeaconBlockRoot", _HASH),
    ("requestsHash", _HASH),
    ("blockAccessListHash", _HASH),
    ("slotNumber", _number),
)


def header_seal_verify(block: dict[str, Any]) -> bool:
    """Whether the header in a node's answer, RLP-encoded, has the keccak-256 hash that the answer names.

    Anything malformed, and a header of a form that is not known here, is false.
    """
    try:
        return keccak(_header_encode(block)) == _HASH(block.get("hash"))
    except ValueError:
        return False


def bloom_verified(block: dict[str, Any]) -> int | None:
    """The block's bloom filter as a number; `None` where it is not to be relied on."""
    if not header_seal_verify(block):
        return None
    bloom = int(block["logsBloom"], 16)
    if bloom == 0 and block["receiptsRoot"].lower() != EMPTY_ROOT:
        return None
    return bloom


def bloom_may_contain(bloom: int, address: str) -> bool:
    """False only if no log of the block is of `address` (`0x` and 40 hex digits, in any case)."""
    bits = bloom_bits(address)
    return bloom & bits == bits


@lru_cache(maxsize=1024)
def bloom_bits(item: str) -> int:
    """The three bits that an address or a topic sets: each from 11 bits of its hash (M3:2048 of the yellow paper)."""
    digest = keccak(hexstr=item)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") % BLOOM_BITS)
    return bits


def _header_encode(block: dict[str, Any]) -> bytes:
    fields = [read(block.get(name)) for name, read in _REQUIRED]
    given = [(block.get(name), read) for name, read in _OPTIONAL]
    while given and given[-1][0] is None:
        given.pop()
    # A chain that skipped one of them writes it as empty where a later one follows.
    fields += [b"" if value is None else read(value) for value, read in given]
    return _rlp_list(fields)


def _rlp_list(items: list[bytes]) -> bytes:
    """RLP (yellow paper, appendix B) of a list of byte strings."""
    payload = b"".join(_rlp_string(item) for item in items)
    return _rlp_prefix(len(payload), 0xC0) + payload


def _rlp_string(item: bytes) -> bytes:
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _rlp_prefix(len(item), 0x80) + item


def _rlp_prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size
