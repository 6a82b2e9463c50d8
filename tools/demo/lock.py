"""One supervisor per state directory.

The kernel holds the lock for as long as the supervisor lives, so that no crash leaves it behind. The file's text, the
owner's process id and start time, is for people and messages alone.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """Who holds the lock. `started` is field 22 of /proc/<pid>/stat, in clock ticks since boot."""

    pid: int
    started: int


class AlreadyRunningError(Exception):
    """Another supervisor holds the lock. `owner` is None when it has not yet written its name."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.owner = owner
        who = f"process {owner.pid}" if owner else "another process"
        super().__init__(f"{who} already runs a site on {path.parent.parent}: stop it first, or give --var another one")


def process_started(pid: int) -> int | None:
    """Start time of a live process, None when there is none of that id. Process ids are reused, the pair is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


def lock_take(path: Path) -> int:
    """Take the lock and return the descriptor that holds it. Raises AlreadyRunningError.

    Every process that inherits the descriptor keeps the lock: it is free when the last of them is gone.
    """
    path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunningError(path, lock_owner(path)) from None
    owner = Owner(pid=os.getpid(), started=process_started(os.getpid()) or 0)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(owner)).encode(), 0)
    return descriptor


def lock_owner(path: Path) -> Owner | None:
    """The live process that wrote the lock file, None when it is gone."""
    try:
        owner = Owner(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return owner if process_started(owner.pid) == owner.started else None
