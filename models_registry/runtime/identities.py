"""Users for runners of a root worker: each runner gets an id that no account and no other process has."""

import os
import pwd
import socket
from pathlib import Path

from models_registry.runtime.errors import SandboxUnavailable


class Identity:
    """A leased user id. The lease is a bound abstract socket: the kernel drops it when the worker dies."""

    def __init__(self, uid: int, lock: socket.socket) -> None:
        self.uid = uid
        self._lock = lock

    def release(self) -> None:
        """Give the id back. Call it when the runner's processes are gone."""
        self._lock.close()


def lease(first: int, count: int) -> Identity:
    """An id of the range that nobody uses. Raises SandboxUnavailable when there is none.

    The kernel counts processes per user and lets equal users signal each other, so two live runners
    never share an id.
    """
    in_use = _users_of_processes()
    offset = int.from_bytes(os.urandom(4), "big")
    for step in range(count):
        uid = first + (offset + step) % count
        if uid in in_use or _has_account(uid):
            continue
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0weighhouse-runner-uid-{uid}")
        except OSError:
            lock.close()
            continue
        return Identity(uid, lock)
    raise SandboxUnavailable(
        f"Every user id from {first} to {first + count - 1} is taken. Give the worker a larger range of ids."
    )


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _users_of_processes() -> set[int]:
    users = set()
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                users.add(directory.stat().st_uid)
            except OSError:
                continue
    return users
