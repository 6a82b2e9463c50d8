"""A signed transaction as bytes: its hash, and whether it says what was asked. EIP-2718, EIP-1559."""

import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature, ValidationError
from eth_utils.crypto import keccak

from chain.abi import checksum
from chain.signing.errors import SignatureDiffers
from chain.signing.protocol import TransactionFields

_TYPE = 2
_NAMES = ("chain id", "nonce", "tip", "fee", "gas", "recipient", "value", "data", "access list")
# Half of the order of secp256k1: nodes refuse a greater s (EIP-2).
_S_MAX = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def raw_hash(raw: str) -> str:
    """The hash by which the chain will know a signed transaction."""
    return "0x" + keccak(bytes.fromhex(raw.removeprefix("0x"))).hex()


def raw_check(raw: object, fields: TransactionFields, *, signer: str) -> str:
    """`raw` in lower case where it is `fields` signed by `signer`. Raises `SignatureDiffers` with what differs."""
    content, parts = _parts(raw)
    for name, asked, given in zip(_NAMES, _asked(fields), parts[:9], strict=True):
        if asked != given:
            raise SignatureDiffers(f"The signer returned a transaction with another {name} than it was asked for.")
    actual = _signer(parts)
    if actual != signer:
        raise SignatureDiffers(f"The signer signed as {actual}; {signer} was asked for.")
    return "0x" + content.hex()


def _parts(raw: object) -> tuple[bytes, list[bytes]]:
    try:
        if not isinstance(raw, str) or not raw.startswith("0x"):
            raise ValueError
        content = bytes.fromhex(raw[2:])
        parts = rlp.decode(content[1:], strict=True)
        if content[0] != _TYPE or len(parts) != 12 or not all(isinstance(part, bytes) for part in parts[9:]):
            raise ValueError
    except (ValueError, IndexError, TypeError, rlp.DecodingError):
        raise SignatureDiffers("The signer returned something that is not an EIP-1559 transaction.") from None
    return content, parts


def _signer(parts: list[bytes]) -> str:
    """Who signed. Raises `SignatureDiffers` also for a signature that nodes refuse."""
    v, r, s = (int.from_bytes(part, "big") for part in parts[9:])
    if v > 1 or s > _S_MAX or [_integer(number) for number in (v, r, s)] != parts[9:]:
        raise SignatureDiffers("The signer returned a signature that nodes refuse.")
    digest = keccak(bytes([_TYPE]) + rlp.encode(parts[:9]))
    try:
        return checksum(Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(digest).to_address())
    except (BadSignature, ValidationError):
        raise SignatureDiffers("The signer returned a signature of nobody.") from None


def _asked(fields: TransactionFields) -> list[bytes | list[bytes]]:
    numbers = (fields.chain_id, fields.nonce, fields.tip_wei, fields.max_fee_wei, fields.gas)
    return [
        *(_integer(number) for number in numbers),
        bytes.fromhex(fields.to[2:]),
        _integer(fields.value_wei),
        bytes.fromhex(fields.data[2:]),
        [],
    ]


def _integer(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
