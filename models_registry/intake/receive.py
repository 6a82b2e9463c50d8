"""Receiving one file: from a stream to a blob named by its sha256, whole or not at all.

<uploads>/<upload id>/<sha256>     a file that was received whole
<uploads>/<upload id>/.part-*      one that is arriving; a killed process leaves it, the sweep removes it
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from weighhouse.core.faults import fault_point

from models_registry.errors import UploadChecksumError, UploadStorageFullError, UploadTruncatedError

CHUNK_BYTES = 1 << 20
# An upload never takes the last of the disk: database, broker and logs need room too.
FREE_FLOOR_BYTES = 1 << 30
PART_PREFIX = ".part-"


class Readable(Protocol):
    """Anything with a blocking `read(n)` that returns at most n bytes, and b"" at the end only."""

    def read(self, size: int = ..., /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Received:
    """A file that arrived whole, still under its temporary name."""

    part: Path
    size: int
    sha256: str


def room_check(directory: Path, size: int) -> None:
    """Raises UploadStorageFullError where `size` bytes more in this directory would reach the free-space floor."""
    if shutil.disk_usage(directory).free < size + FREE_FLOOR_BYTES:
        raise _storage_error(OSError(errno.ENOSPC, "the free-space floor is reached"))


@contextmanager
def file_received(stream: Readable, *, size: int, directory: Path, expected_sha256: str = "") -> Iterator[Received]:
    """Write `size` bytes of the stream into a temporary file of `directory`, in constant memory.

    The file exists inside the `with` block; the caller renames it there, or it is removed. Raises UploadTruncatedError
    when the stream ends early, UploadChecksumError, UploadStorageFullError.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        room_check(directory, size)
        handle, name = tempfile.mkstemp(prefix=PART_PREFIX, dir=directory)
    except OSError as error:
        raise _storage_error(error) from error
    part = Path(name)
    try:
        digest = _copy(stream, handle, size)
        if expected_sha256 and digest != expected_sha256:
            raise UploadChecksumError(
                "The bytes that arrived do not have the sha256 that was announced. Send the file again.",
                expected=expected_sha256,
                received=digest,
            )
        yield Received(part, size, digest)
    finally:
        part.unlink(missing_ok=True)


def _copy(stream: Readable, handle: int, size: int) -> str:
    hasher = hashlib.sha256()
    left = size
    try:
        with os.fdopen(handle, "wb") as file:
            while left:
                data = stream.read(min(CHUNK_BYTES, left))
                if not data:
                    raise UploadTruncatedError(
                        f"The body ended {left} bytes early, so nothing of the file was kept. Send it again.",
                        received=size - left,
                        announced=size,
                    )
                file.write(data)
                hasher.update(data)
                left -= len(data)
                fault_point("upload.between_chunks")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _storage_error(error) from error
    return hasher.hexdigest()


def _storage_error(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UploadStorageFullError("The site has no room for this file at the moment. The operator must make some.")
    # A broken connection surfaces here too, from the stream.
    return UploadTruncatedError("The file could not be received whole, so nothing of it was kept. Send it again.")
