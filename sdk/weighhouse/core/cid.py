"""Content identifiers: the one form that Weighhouse writes and accepts.

CIDv1, multihash sha2-256, codec raw or dag-pb, text in base32 lower case. A release's root is always
a dag-pb directory, so its CID and the 32-byte digest on chain determine each other.
Source: https://github.com/multiformats/cid.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Self

from weighhouse.core.errors import WeighhouseError

RAW = 0x55
DAG_PB = 0x70

_PREFIX = {RAW: bytes((0x01, RAW, 0x12, 0x20)), DAG_PB: bytes((0x01, DAG_PB, 0x12, 0x20))}
BYTES_LENGTH = 36
_TEXT_LENGTH = 59


class CidError(WeighhouseError):
    """A text or byte string is not a CID of the accepted form."""

    code = "cid.invalid"


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A CIDv1 with sha2-256. `codec` is RAW or DAG_PB, `digest` has 32 bytes."""

    codec: int
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _PREFIX or len(self.digest) != 32:
            raise CidError("A CID must have the codec raw or dag-pb and a sha2-256 digest of 32 bytes.")

    @classmethod
    def of(cls, codec: int, block: bytes | memoryview) -> Self:
        """The CID of a block."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse the 36-byte binary form. Raises CidError."""
        if len(data) != BYTES_LENGTH or bytes(data[:4]) not in _PREFIX.values():
            raise CidError("Expected a binary CIDv1 (raw or dag-pb, sha2-256) of 36 bytes.")
        return cls(data[1], bytes(data[4:]))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the canonical text form (`b` and base32 lower case). Raises CidError."""
        shown = text[:80] if isinstance(text, str) else type(text).__name__
        if not isinstance(text, str) or len(text) != _TEXT_LENGTH or text[0] != "b":
            raise CidError(
                f"Expected a CIDv1 in base32 (59 characters that begin with 'b'), got {shown!r}.", value=shown
            )
        try:
            data = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
        except ValueError:
            raise CidError(f"{shown!r} is not base32.", value=shown) from None
        cid = cls.from_bytes(data)
        if str(cid) != text:  # an upper-case letter, or stray bits after the last byte
            raise CidError(f"{shown!r} is not the canonical form of a CID; expected {cid}.", value=shown)
        return cid

    def __bytes__(self) -> bytes:
        return _PREFIX[self.codec] + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode().lower().rstrip("=")

    def matches(self, block: bytes | memoryview) -> bool:
        """Whether the block's bytes hash to this CID."""
        return hashlib.sha256(block).digest() == self.digest


def root_cid(digest: bytes) -> Cid:
    """The root CID of the release whose 32-byte digest the chain holds."""
    return Cid(DAG_PB, digest)


def digest_hex(cid: Cid) -> str:
    """The digest as the chain, the database and JSON write it: `0x` and 64 lower-case hex digits."""
    return "0x" + cid.digest.hex()


def digest_parse(text: str) -> bytes:
    """The 32 bytes of a `0x` digest. Raises CidError."""
    if isinstance(text, str) and len(text) == 66 and text.startswith("0x"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            pass
    raise CidError("Expected a digest: 0x and 64 hex digits.", value=str(text)[:80])
