"""What a runner prints: the last part of it, bounded, for the operator."""

import os
import threading

KEPT_BYTES = 64 * 1024
ACCEPTED_BYTES = 16 * 1024 * 1024


class LogTail:
    """Drains a pipe so that the runner never blocks on it, and keeps the end.

    After ACCEPTED_BYTES the pipe is closed: whoever floods it gets EPIPE, and this thread ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept = bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="runner-log", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """The end of the log. Untrusted: control characters are replaced."""
        with self._lock:
            raw = bytes(self._kept)
        text = raw.decode("utf-8", "replace")
        return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)

    def last_line(self) -> str:
        lines = self.text().strip().splitlines()
        return lines[-1][:300] if lines else ""

    def close(self) -> None:
        """Wait for the end of the pipe, which comes when the runner's processes are gone."""
        self._thread.join(timeout=5)

    def _drain(self) -> None:
        accepted = 0
        try:
            while accepted < ACCEPTED_BYTES and (part := os.read(self._descriptor, 65_536)):
                accepted += len(part)
                with self._lock:
                    self._kept += part
                    del self._kept[:-KEPT_BYTES]
        finally:
            os.close(self._descriptor)
