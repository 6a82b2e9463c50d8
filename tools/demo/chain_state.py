"""The development chain's state on disk.

anvil writes its state every second by truncating the file first. A SIGKILL in that moment leaves half a file, which
anvil then refuses to load. So a second, complete copy is kept beside it and used when the first does not parse.
"""

import json
import os
import shutil
from pathlib import Path


class ChainState:
    """`live` is anvil's own file, `kept` the last complete copy; `older` holds states of blocks while anvil runs.

    Left to itself anvil puts those into HOME, where they stay when it is killed.
    """

    def __init__(self, directory: Path) -> None:
        self.live = directory / "chain.json"
        self.kept = directory / "chain.kept.json"
        self.older = directory / "chain.older"
        self._seen: tuple[int, int] | None = None

    def restore(self) -> str | None:
        """Before anvil starts: put the kept copy in place of a broken file. A sentence about what was done, or None."""
        shutil.rmtree(self.older, ignore_errors=True)
        if not self.live.exists() and not self.kept.exists():
            return None
        if _is_complete(self.live):
            return None
        self.live.unlink(missing_ok=True)
        if _is_complete(self.kept):
            shutil.copyfile(self.kept, self.live)
            return "the chain's state was cut off by a kill: the last complete copy is in use, up to two seconds older"
        return "the chain's state was unreadable and no copy was left: the chain starts anew"

    def keep(self) -> bool:
        """While anvil runs: copy a file that changed and is complete. Whether it did."""
        try:
            status = self.live.stat()
        except FileNotFoundError:
            return False
        signature = (status.st_mtime_ns, status.st_size)
        if signature == self._seen:
            return False
        text = self.live.read_bytes()
        if not _parses(text):
            return False
        draft = self.kept.with_suffix(".new")
        with draft.open("wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.kept)
        self._seen = signature
        return True


def _is_complete(path: Path) -> bool:
    return path.exists() and _parses(path.read_bytes())


def _parses(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
