"""Requests that stay open while a job runs: how many there may be, and how they notice that nobody reads them.

Each holds a thread of its web process. So their number is bounded, per process and per account, below the number of
threads: the rest of the site goes on however many wait.
"""

import select
import socket
import struct
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from django.conf import settings
from django.http import StreamingHttpResponse

from marketplace.inference.errors import JobStreamsBusyError
from marketplace.inference.events import JobEvent

# Seconds after which a stream ends whatever the job does, so that no thread is held for ever. Clients come back.
LONGEST_S = 300.0
# Sent in silence, so that no proxy closes the connection and a client that is gone shows.
# A client that lets this time pass without reading anything that fills its buffers is given up.
UNREAD_S = 20
HEARTBEAT = b": still there\n\n"
_RETRY = b"retry: 2000\n\n"


class Slot:
    """One place of the process, to be given back once; it gives itself back when it is forgotten."""

    def __init__(self, account_id: Any, *, follows: bool) -> None:
        self.release = weakref.finalize(self, _give_back, account_id, follows)


_open: Counter[Any] = Counter()
_followers: Counter[bool] = Counter()
_changing = threading.Lock()


def slot_take(account_id: Any, *, follows: bool = False) -> Slot:
    """A place for one more open request. Raises JobStreamsBusyError beyond the most that there may be.

    A request that only `follows` a job costs nothing, and any number may follow the same one. So such requests have
    half of the places, and those that make a job and wait for it have the rest to themselves.
    """
    with _changing:
        if _open[account_id] >= settings.JOB_STREAMS_PER_ACCOUNT:
            raise JobStreamsBusyError(
                f"This account has {settings.JOB_STREAMS_PER_ACCOUNT} open requests that wait for jobs, the most at "
                "once. Close one, or create jobs without waiting and ask for them later.",
                limit=settings.JOB_STREAMS_PER_ACCOUNT,
            )
        most = settings.JOB_STREAMS_PER_PROCESS
        if _open.total() >= most or (follows and _followers[True] >= max(most // 2, 1)):
            raise JobStreamsBusyError(
                "As many requests wait for jobs as this site serves at once. Try again in a moment, or create the job "
                "without waiting and ask for it later."
            )
        _open[account_id] += 1
        _followers[follows] += 1
    return Slot(account_id, follows=follows)


def slots_taken() -> int:
    """How many requests wait in this process."""
    with _changing:
        return _open.total()


class Stream:
    """The body of a response: parts as they come. Gives its place back when it ends, is closed or is forgotten."""

    def __init__(self, parts: Iterator[bytes], slot: Slot) -> None:
        self._parts, self._slot = parts, slot

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except BaseException:
            self._slot.release()
            raise

    def close(self) -> None:
        """Django closes it with the response, the server when the client is gone."""
        self._slot.release()
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class Peer:
    """The client's end of the connection, where the server shows it (gunicorn does)."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        found = environ.get("gunicorn.socket")
        self._socket: socket.socket | None = found if isinstance(found, socket.socket) else None
        if self._socket is not None:
            # The kernel's own limit: the server's writes block, and would hold the thread as long as the client likes.
            limit = struct.pack("ll", UNREAD_S, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def is_gone(self) -> bool:
        """Whether it closed the connection. Elsewhere this shows at the next write."""
        if self._socket is None:
            return False
        try:
            readable, _, _ = select.select([self._socket], [], [], 0)
            return bool(readable) and self._socket.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True


def event_stream(parts: Iterator[bytes], slot: Slot) -> StreamingHttpResponse:
    """A response of server-sent events (the HTML standard, section 9.2) that no cache or proxy keeps back."""
    response = StreamingHttpResponse(Stream(parts, slot), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def event_parts(followed: Iterator[list[JobEvent]], peer: Peer) -> Iterator[bytes]:
    """Events in the form of the standard, with a heartbeat for each quiet while, until the end or the peer's."""
    yield _RETRY
    for events in followed:
        if peer.is_gone():
            return
        yield b"".join(map(_event_text, events)) or HEARTBEAT


def _event_text(event: JobEvent) -> bytes:
    # JSON escapes line ends, so that a text of whatever content stays one line of data.
    name = b"id: " + event.id.encode() + b"\n" if event.id else b""
    return name + b"event: " + event.kind.encode() + b"\ndata: " + orjson.dumps(event.data) + b"\n\n"


def _give_back(account_id: Any, follows: bool) -> None:
    with _changing:
        _followers[follows] -= 1
        _open[account_id] -= 1
        if _open[account_id] <= 0:
            del _open[account_id]
