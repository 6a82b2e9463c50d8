"""HTTP to a node: one connection each, no environment, no redirects, and an end to every answer.

A socket's timeout bounds the wait for the next byte alone. A node that sends one byte now and then, in the headers or
in the body, would hold a thread for days; so the whole answer has a deadline too.
"""

import http.client
import io
import logging
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

# urllib3 writes the path of each request at DEBUG, and the path is where vendors put the key.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
# It writes the whole address beside headers that it cannot read, and a node chooses its headers.
logging.getLogger("urllib3.connection").setLevel(logging.CRITICAL)

# The whole answer may take this many times the timeout of one read.
RESPONSE_TIME_FACTOR = 3


def session_make() -> requests.Session:
    """A session for one thread of one process: sockets must not be shared across a fork."""
    session = requests.Session()
    # Proxies and credentials of the environment are not for this connection.
    session.trust_env = False
    session.headers["Content-Type"] = "application/json"
    session.mount("http://", _Adapter(pool_connections=1, pool_maxsize=1))
    session.mount("https://", _Adapter(pool_connections=1, pool_maxsize=1))
    return session


class _TimedReader(io.RawIOBase):
    """The bytes of `raw` until the deadline; then `TimeoutError`."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        self._raw = raw
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until:
            raise TimeoutError("The answer took too long.")
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), RESPONSE_TIME_FACTOR * timeout_s))


class _HttpConnection(HTTPConnection):
    response_class = _TimedResponse


class _HttpsConnection(HTTPSConnection):
    response_class = _TimedResponse


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
