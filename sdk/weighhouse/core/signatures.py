"""Signatures of Ethereum accounts over 32-byte digests: who signed, and signing with a key in memory. Pure.

secp256k1 comes from eth-keys: pure Python of the Ethereum foundation that needs no compiler and uses libsecp256k1 by
itself where coincurve is installed. A signature is 65 bytes, r, s, v, with v 27 or 28 and the lower s (EIP-2): it has
one form, so that a changed byte is another statement.
"""

import re

from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature, ValidationError

from weighhouse.core.eip712 import keccak256
from weighhouse.core.errors import WeighhouseError

_SIGNATURE = re.compile(r"0x[0-9a-f]{130}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class SignatureError(WeighhouseError):
    """The bytes are no signature, or not in the one form that counts."""

    code = "signature.invalid"


def recover(digest: bytes, signature: str) -> str:
    """The account, checksummed, that signed `digest`. Raises SignatureError."""
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise SignatureError("A signature is 0x and 130 lower-case hex digits.")
    content = bytes.fromhex(signature[2:])
    r, s, v = int.from_bytes(content[:32]), int.from_bytes(content[32:64]), content[64]
    if v not in (27, 28) or not 0 < s <= _HALF_ORDER:
        raise SignatureError("The signature is not in the form that counts: v of 27 or 28, and the lower s.")
    try:
        key = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    except (BadSignature, ValidationError):
        raise SignatureError("The signature is nobody's.") from None
    address: bytes = key.to_canonical_address()
    return checksum(address)


def sign(digest: bytes, key: bytes) -> str:
    """`digest` signed by a private key of 32 bytes (RFC 6979: the same again gives the same)."""
    signed = PrivateKey(key).sign_msg_hash(digest)
    content: bytes = signed.r.to_bytes(32) + signed.s.to_bytes(32) + bytes([27 + signed.v])
    return "0x" + content.hex()


def key_address(key: bytes) -> str:
    """The account of a private key."""
    address: bytes = PrivateKey(key).public_key.to_canonical_address()
    return checksum(address)


def checksum(address: bytes) -> str:
    """20 bytes as EIP-55 writes them."""
    plain = address.hex()
    marks = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(mark, 16) > 7 else letter for letter, mark in zip(plain, marks, strict=False)
    )


def is_checksummed(text: object) -> bool:
    """Whether a text is an address in the one form that documents have."""
    return isinstance(text, str) and bool(_ADDRESS.fullmatch(text)) and checksum(bytes.fromhex(text[2:])) == text
