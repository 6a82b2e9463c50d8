"""CAR version 1: a stream of blocks. Source: https://ipld.io/specs/transport/car/carv1/.

The reader believes nothing: roots of the header are ignored, each block is hashed before it is handed on, and a stream
that ends early is an error, not an end.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from weighhouse.core.cid import BYTES_LENGTH, Cid, CidError
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.unixfs import MAX_BLOCK_BYTES

_MAX_HEADER_BYTES = 4096
MEDIA_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups=n"


class CarError(WeighhouseError):
    """A CAR stream is malformed, or holds a block that does not match its CID."""

    code = "car.invalid"


class CarTruncatedError(CarError):
    """A CAR stream ended within a section, or lacks blocks of the DAG that was asked for."""

    code = "car.truncated"
    retryable = True


class Reader(Protocol):
    """Anything with a blocking `read(n)` that returns at most n bytes, and b"" at the end only."""

    def read(self, size: int, /) -> bytes: ...


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def header(root: Cid) -> bytes:
    """The first section: DAG-CBOR of {"roots": [root], "version": 1}."""
    # map(2) "roots" array(1) tag(42) bytes(37) 0x00 cid "version" 1; keys by length, then by bytes.
    body = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + bytes(root) + b"\x67version\x01"
    return _varint(len(body)) + body


def section(cid: Cid, block: bytes) -> bytes:
    """One block as a section of the stream."""
    return _varint(BYTES_LENGTH + len(block)) + bytes(cid) + block


def write(root: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> Iterator[bytes]:
    """A CAR stream of the blocks, piece by piece."""
    yield header(root)
    for cid, block in blocks:
        yield section(cid, block)


def _read_exactly(stream: Reader, size: int) -> bytes:
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise CarTruncatedError("The CAR ended in the middle of a block. Fetch it again.")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_length(stream: Reader) -> int | None:
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte:
            if shift == 0:
                return None
            raise CarTruncatedError("The CAR ended in the middle of a length. Fetch it again.")
        if shift > 28:
            raise CarError("A CAR section announces an absurd length.")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7


def read(stream: Reader) -> Iterator[tuple[Cid, bytes]]:
    """The verified blocks of a CAR stream. Raises CarError, CarTruncatedError."""
    length = _read_length(stream)
    if length is None:
        raise CarTruncatedError("The CAR is empty. Fetch it again.")
    if not 0 < length <= _MAX_HEADER_BYTES:
        raise CarError("The CAR's header has an absurd length.")
    head = _read_exactly(stream, length)
    if not head.startswith(b"\xa2\x65roots") or not head.endswith(b"\x67version\x01"):
        raise CarError("The stream is not a CAR of version 1.")
    while (length := _read_length(stream)) is not None:
        yield _block(stream, length)


def _block(stream: Reader, length: int) -> tuple[Cid, bytes]:
    if not BYTES_LENGTH <= length <= BYTES_LENGTH + MAX_BLOCK_BYTES:
        raise CarError(f"A CAR section of {length} bytes is not a block of at most {MAX_BLOCK_BYTES} bytes.")
    body = _read_exactly(stream, length)
    try:
        cid = Cid.from_bytes(body[:BYTES_LENGTH])
    except CidError as error:
        raise CarError(f"A CAR section has a CID that is not accepted: {error.message}") from None
    block = body[BYTES_LENGTH:]
    if not cid.matches(block):
        raise CarError(f"A block of the CAR does not match its CID {cid}.", cid=str(cid))
    return cid, block
