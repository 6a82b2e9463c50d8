"""The files of the examples, made here: a picture of a gradient and half a second of a tone."""

import base64
import math
import struct
import zlib

_SIDE = 32
_RATE = 8_000


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def picture() -> dict[str, str]:
    """A PNG of 32 x 32 pixels as an input."""
    rows = (bytes([0]) + b"".join(bytes([8 * x, 8 * y, 128]) for x in range(_SIDE)) for y in range(_SIDE))
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + _chunk(b"IEND", b"")
    return _data(b"\x89PNG\r\n\x1a\n" + body)


def tone() -> dict[str, str]:
    """Half a second of A4 as a WAV input."""
    frames = [round(8_000 * math.sin(2 * math.pi * 440 * step / _RATE)) for step in range(_RATE // 2)]
    samples = struct.pack(f"<{len(frames)}h", *frames)
    head = struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(samples)) + samples
    return _data(b"RIFF" + struct.pack("<I", len(body)) + body)


def _data(data: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(data).decode()}
