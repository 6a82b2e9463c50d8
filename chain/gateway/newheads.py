"""A websocket that says when a node has a new block. A hint and nothing else: polling is the truth.

What a message says is never read, so that a node can do no more with it than make us look a moment earlier, and not
more often than `WAKES_PER_SECOND`. A websocket that is broken, silent or never there costs nothing but the hint.
"""

import logging
import threading
import time
from collections.abc import Callable

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

logger = logging.getLogger(__name__)

SUBSCRIBE = '{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
# A connection that lasted so long was none that failed: the next wait is the shortest.
STEADY_S = 60.0
OPEN_TIMEOUT_S = 10.0
# A node that is slow to say goodbye does not delay our end.
CLOSE_TIMEOUT_S = 0.5
STOP_CHECK_S = 0.25
# After so long without a message the connection is made anew: a subscription may be lost without a word.
SILENCE_MAX_S = 300.0
WAKES_PER_SECOND = 20
# A header takes 2 KB; what is larger ends the connection.
MESSAGE_MAX_BYTES = 64 * 1024
# The library logs the address, which may hold a key, and every frame. This logger has no handler and no parent.
_SILENT = logging.Logger("websocket", level=logging.CRITICAL + 1)


class NewHeads:
    """Calls `wake` for each message of a node's `newHeads` subscription, from a thread of its own, until `stop`.

    `wake` is called once more when a connection is made, since blocks may have come before. It must return at once and
    raise nothing; `threading.Event.set` is meant. Nothing is raised here once the thread runs. A connection that ends
    is made again, with waits that double up to a minute.
    """

    def __init__(self, url: str, wake: Callable[[], object]) -> None:
        """`url` is a `ws://` or `wss://` address."""
        self._url = url
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="new-heads", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended, or at the latest after a second while it still connects."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            reason = self._followed()
            if self._stop.is_set():
                return
            failures = 1 if time.monotonic() - began > STEADY_S else failures + 1
            wait = min(BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 10), BACKOFF_MAX_S)
            # One line for the first failure; a node that stays away for days is not worth more.
            level = logging.WARNING if failures == 1 else logging.DEBUG
            logger.log(level, "The websocket for new blocks ended (%s). Polling goes on; next in %.0f s.", reason, wait)
            self._stop.wait(wait)

    def _followed(self) -> str:
        """Follow one connection to its end; why it ended, in words without the address."""
        try:
            self._follow()
        except (OSError, EOFError, ValueError, RuntimeError, WebSocketException) as error:
            # The text of these errors may hold the address, so only the type is told.
            return type(error).__name__
        return "it fell silent"

    def _follow(self) -> None:
        with self._connect() as socket:
            socket.send(SUBSCRIBE)
            self._wake()
            heard = time.monotonic()
            while not self._stop.is_set() and time.monotonic() - heard < SILENCE_MAX_S:
                try:
                    socket.recv(timeout=STOP_CHECK_S, decode=False)
                except TimeoutError:
                    continue
                heard = time.monotonic()
                self._wake()
                self._stop.wait(1 / WAKES_PER_SECOND)

    def _connect(self) -> ClientConnection:
        return connect(
            self._url,
            # A proxy of the environment is not for this connection, and nothing that grows when unpacked is taken.
            proxy=None,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MESSAGE_MAX_BYTES,
            logger=_SILENT,
        )
