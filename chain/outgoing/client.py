"""HTTP to an address that a stranger named.

What such an address can try: to reach what only the site can (private ranges, a cloud's metadata), by its number, by
a name, by a name that changes between check and use, or by a redirect; and to hold the site up, by an answer that is
slow or without end. Addresses that the operator listed may be private and may be spoken to without TLS.
"""

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from chain.outgoing.addresses import address_is_numeric, addresses_require_public
from chain.outgoing.errors import OutgoingTimeoutError, OutgoingUnreachableError, OutgoingUrlError

URL_MAX_CHARS = 2000
_URL = re.compile(r"[\x21-\x7e]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
# Below 1024 only what HTTP uses: nobody makes the site talk to mail servers.
_LOW_PORTS = frozenset({80, 443})
_MOST_ADDRESSES = 3

Resolver = Callable[[str, int], list[str]]


class OutgoingAnswer(NamedTuple):
    """The status, and the body up to the client's limit."""

    status: int
    body: bytes
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in the parts that a request needs."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


def addresses_of(host: str, port: int) -> list[str]:
    """The numeric addresses of a host, by the system's resolver. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class OutgoingClient:
    """Holds no connection and no state: threads may share it, and nobody closes it.

    `allowed` are `host:port` that the operator vouches for. `timeout_s` is for the whole exchange from the connection
    on, `max_bytes` for the body; `resolve` and `tls` are for tests.
    """

    def __init__(
        self,
        *,
        allowed: Collection[str] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 64 * 1024,
        resolve: Resolver = addresses_of,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = frozenset(place.lower() for place in allowed)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    def url_check(self, url: str) -> Target:
        """The parts of a URL that this client would call. Asks nobody: what a name leads to is seen at each call.

        Raises OutgoingUrlError, and OutgoingRefusedError for a number that is no public address.
        """
        target = _target(url)
        if target.place in self._allowed:
            return target
        if not target.is_tls:
            raise OutgoingUrlError("The URL must begin with https://.")
        if target.port < 1024 and target.port not in _LOW_PORTS:
            raise OutgoingUrlError("The URL's port must be 443, 80, or above 1023.")
        if address_is_numeric(target.host):
            addresses_require_public([target.host])
        return target

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> OutgoingAnswer:
        """Send one POST and read the answer. A redirect is an answer like any other; nobody follows it.

        1. Resolve the name, once. Refuse if any of its addresses is not public.
        2. Connect to that very address; the name is for TLS and the header Host alone.
        3. Send, and read status and body until the limits of size and of time for it all.

        Raises OutgoingUrlError, OutgoingRefusedError, OutgoingUnreachableError, OutgoingTimeoutError.
        """
        target = self.url_check(url)
        addresses = self._addresses(target)
        clock = _Clock(self._timeout_s)
        try:
            return self._exchange(_Connection(target, addresses, clock, self._tls), target, body, headers)
        except TimeoutError:
            raise OutgoingTimeoutError(f"The receiver did not finish within {self._timeout_s:g} s.") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Their texts may hold what the other side sent.
            raise OutgoingUnreachableError(f"The receiver does not answer ({type(error).__name__}).") from None

    def _addresses(self, target: Target) -> list[str]:
        try:
            addresses = self._resolve(target.host, target.port)
        except (OSError, UnicodeError) as error:
            raise OutgoingUnreachableError(f"The host's name has no address ({type(error).__name__}).") from None
        if target.place not in self._allowed:
            addresses_require_public(addresses)
        return addresses[:_MOST_ADDRESSES]

    def _exchange(
        self, connection: "_Connection", target: Target, body: bytes, headers: Mapping[str, str]
    ) -> OutgoingAnswer:
        try:
            connection.request("POST", target.path, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            content = response.read(self._max_bytes + 1)
        finally:
            connection.close()
            connection.hang_up()
        return OutgoingAnswer(response.status, content[: self._max_bytes], len(content) > self._max_bytes)


def _target(url: str) -> Target:
    if len(url) > URL_MAX_CHARS or not _URL.fullmatch(url):
        raise OutgoingUrlError(f"A URL has at most {URL_MAX_CHARS} characters, all of them visible ASCII.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise OutgoingUrlError("This is not a URL.") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise OutgoingUrlError("A URL begins with https:// and the name of a host.")
    if parts.username is not None or parts.password is not None:
        raise OutgoingUrlError("A URL must not carry a user or a password.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port if port is not None else 443 if parts.scheme == "https" else 80, path)


class _Clock:
    """What is left of a time for everything together."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Raises TimeoutError where nothing is left."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class _Connection(http.client.HTTPConnection):
    """Connects to given addresses and holds every single read and write to what is left on the clock."""

    def __init__(self, target: Target, addresses: list[str], clock: _Clock, tls: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port)
        self._target, self._addresses, self._clock, self._tls = target, addresses, clock, tls
        self.default_port = 443 if target.is_tls else 80
        self._open: socket.socket | None = None

    def connect(self) -> None:
        self._open = plain = self._connect_to_one()
        if self._target.is_tls:
            plain.settimeout(self._clock.left())
            self._open = self._tls.wrap_socket(plain, server_hostname=self._target.host)
        # A socket in all that http.client uses of one.
        self.sock = _ClockedSocket(self._open, self._clock)

    def hang_up(self) -> None:
        """http.client lets go of a socket before it has read the body, so closing is a step of its own."""
        if self._open is not None:
            self._open.close()

    def _connect_to_one(self) -> socket.socket:
        failed: OSError = ConnectionError()
        for address in self._addresses:
            try:
                return socket.create_connection((address, self._target.port), timeout=self._clock.left())
            except TimeoutError:
                raise
            except OSError as error:
                failed = error
        raise failed


class _ClockedSocket:
    def __init__(self, sock: socket.socket, clock: _Clock) -> None:
        self._sock, self._clock = sock, clock

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            self._sock.settimeout(self._clock.left())
            view = view[self._sock.send(view) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_ClockedReader(self._sock, self._clock))

    def close(self) -> None:
        """Left to `hang_up`: a body may still be read."""


class _ClockedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, clock: _Clock) -> None:
        self._sock, self._clock = sock, clock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._clock.left())
        return self._sock.recv_into(buffer)
