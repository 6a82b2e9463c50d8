"""Frames between host and runner: four bytes of length, big endian, then one msgpack map.

The host reads with `HostChannel`, which distrusts: size cap, deadline, no extension types. A runner reads
with `RunnerChannel`, whose peer is trusted. Imported inside the sandbox as well: msgpack alone.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack

_LENGTH = struct.Struct(">I")
_REQUEST_LIMIT = 64 * 1024 * 1024
_LOOK_S = 0.05
# Entities of a full request of token-classification, each a list, are the most that an honest runner sends.
_MOST_CONTAINERS = 300_000


class FrameError(Exception):
    """What came is not a frame that this side accepts."""


def encode(message: dict[str, Any]) -> bytes:
    """One frame."""
    body: bytes = msgpack.packb(message, use_bin_type=True)
    return _LENGTH.pack(len(body)) + body


def _refuse_extension(code: int, data: bytes) -> None:
    raise FrameError(f"extension type {code}")


class _Containers:
    """Counts lists and maps as they are decoded: a byte of a frame can be an empty one, of seventy bytes here."""

    def __init__(self) -> None:
        self._left = _MOST_CONTAINERS

    def seen(self, container: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise FrameError(f"more than {_MOST_CONTAINERS} lists and maps")
        return container


def decode(body: bytes) -> dict[str, Any]:
    """The map in a frame's body. Raises FrameError for anything else."""
    containers = _Containers()
    try:
        message = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            list_hook=containers.seen,
            object_hook=containers.seen,
            max_array_len=65_536,
            max_map_len=64,
        )
    # msgpack raises ValueError, its own exceptions and, for bad text, UnicodeDecodeError.
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise FrameError(type(error).__name__) from error
    if not isinstance(message, dict):
        raise FrameError(f"a {type(message).__name__} instead of a map")
    return message


class HostChannel:
    """The host's end. Not thread-safe; the runner's owner serialises calls and closes it."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: dict[str, Any], *, until: float, look: Callable[[], None] | None = None) -> None:
        """Write a frame before the monotonic time `until`. Raises TimeoutError, OSError. `look` is as in `receive`."""
        view = memoryview(encode(message))
        while view:
            self._set_timeout(until, look)
            try:
                view = view[self._end.send(view) :]
            except TimeoutError:
                continue  # `_left` says when the time is over

    def receive(self, *, limit: int, until: float, look: Callable[[], None] | None = None) -> dict[str, Any]:
        """Read a frame of at most `limit` bytes. Raises TimeoutError, EOFError, OSError, FrameError.

        `look` is called at least twenty times a second while nothing comes, and between parts. What it raises ends
        the reading, in the midst of a frame too.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, until, look))
        if length > limit:
            raise FrameError(f"a frame of {length} bytes where at most {limit} are accepted")
        return decode(self._exactly(length, until, look))

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read. Before a request anything that waits is forged, or the end."""
        self._end.settimeout(0)
        try:
            self._end.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close this end; the runner then reads the end of the stream and leaves."""
        self._end.close()

    def _exactly(self, count: int, until: float, look: Callable[[], None] | None) -> bytes:
        # recv drops file descriptors that the peer attaches. The buffer grows with what came,
        # so that a length alone reserves no memory.
        buffer = bytearray()
        while len(buffer) < count:
            self._set_timeout(until, look)
            try:
                part = self._end.recv(min(count - len(buffer), 1 << 20))
            except TimeoutError:
                continue  # `_left` says when the time is over
            if not part:
                raise EOFError
            buffer += part
        return bytes(buffer)

    def _set_timeout(self, until: float, look: Callable[[], None] | None) -> None:
        left = _left(until)
        if look is not None:
            look()
            left = min(left, _LOOK_S)
        self._end.settimeout(left)


class RunnerChannel:
    """The runner's end: plain reads and writes, which the work filter allows where it denies sockets."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, message: dict[str, Any]) -> None:
        """Write a frame."""
        view = memoryview(encode(message))
        while view:
            view = view[os.write(self._descriptor, view) :]

    def is_waiting(self) -> bool:
        """Whether the host has sent something, or is gone."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def receive(self) -> dict[str, Any]:
        """Read a frame. Raises EOFError when the host is gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > _REQUEST_LIMIT:
            raise FrameError(f"a request of {length} bytes")
        return decode(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        buffer = bytearray()
        while len(buffer) < count:
            part = os.read(self._descriptor, count - len(buffer))
            if not part:
                raise EOFError
            buffer += part
        return bytes(buffer)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
