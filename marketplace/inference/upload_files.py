"""Files of uploads: AES-256-GCM in STREAM form, so that none of them is ever whole or plain in memory while it arrives.

A file is a header of 4 + 32 bytes (format, salt), then segments of at most 1 MiB of plain text and a tag of 16 bytes.
Its key is HKDF-SHA256 of the payload key, the salt and the upload's id; a segment's nonce is its number and whether it
is the last. So a file that was cut, put in another order, or put in another upload's place does not open.
STREAM: Hoang, Reyhanitabar, Rogaway, Vizar, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance".
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from marketplace.inference.errors import InputUploadNotFoundError
from marketplace.payload_keys import payload_keys

_FORMAT = b"WHu1"
_SALT_BYTES = 32
_TAG_BYTES = 16
SEGMENT_BYTES = 1024 * 1024


def upload_path(number: UUID) -> Path:
    return Path(settings.INPUT_UPLOAD_DIR) / str(number)


class UploadWriter:
    """Encrypts what is written and keeps one segment at most. `finish` makes the file whole; without it none opens."""

    def __init__(self, number: UUID, stream: BinaryIO) -> None:
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._cipher = _cipher(payload_keys()[0], self._salt, number)
        self._stream, self._pending, self._segment = stream, bytearray(), 0
        stream.write(_FORMAT + self._salt)

    def write(self, data: bytes) -> None:
        self._pending += data
        # The last segment is marked, so a full one waits until more comes.
        while len(self._pending) > SEGMENT_BYTES:
            self._put(bytes(self._pending[:SEGMENT_BYTES]), is_last=False)
            del self._pending[:SEGMENT_BYTES]

    def finish(self) -> None:
        self._put(bytes(self._pending), is_last=True)
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _put(self, plain: bytes, *, is_last: bool) -> None:
        self._stream.write(self._cipher.encrypt(_nonce(self._segment, is_last), plain, None))
        self._segment += 1


def upload_file_read(number: UUID) -> bytes:
    """The content. Raises InputUploadNotFoundError where the file is gone, was changed, or its key is gone."""
    try:
        with upload_path(number).open("rb") as stream:
            head = stream.read(len(_FORMAT) + _SALT_BYTES)
            segments = list(_segments(stream))
    except FileNotFoundError:
        raise _gone() from None
    if head[: len(_FORMAT)] != _FORMAT or not segments:
        raise _gone()
    for key in payload_keys():
        try:
            return _opened(_cipher(key, head[len(_FORMAT) :], number), segments)
        except InvalidTag:
            continue
    raise _gone()


def upload_file_delete(number: UUID) -> None:
    upload_path(number).unlink(missing_ok=True)


def _segments(stream: BinaryIO) -> Iterator[bytes]:
    while segment := stream.read(SEGMENT_BYTES + _TAG_BYTES):
        yield segment


def _opened(cipher: AESGCM, segments: list[bytes]) -> bytes:
    last = len(segments) - 1
    return b"".join(cipher.decrypt(_nonce(place, place == last), data, None) for place, data in enumerate(segments))


def _cipher(key: str, salt: bytes, number: UUID) -> AESGCM:
    derived = HKDF(SHA256(), 32, salt, b"weighhouse input upload " + number.bytes).derive(key.encode())
    return AESGCM(derived)


def _nonce(segment: int, is_last: bool) -> bytes:
    return segment.to_bytes(11, "big") + bytes([is_last])


def _gone() -> InputUploadNotFoundError:
    return InputUploadNotFoundError("The content of an upload cannot be read any more. Send it again.")
