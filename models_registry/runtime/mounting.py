"""A program that mounts a directory, read-only, inside a sandbox that already runs: `mounting.py PID DIRECTORY TARGET`.

A process of its own, since it enters other namespaces, which a process with threads may not. Standard library only.
PID is bwrap's process outside the sandbox; TARGET an empty directory inside. Source: open_tree(2), move_mount(2),
mount_setattr(2), setns(2), user_namespaces(7).
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

# The same numbers on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_CLONE_TREE, _FROM_EMPTY_PATH, _EMPTY_PATH = 1, 4, 0x1000
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_GET_OWNING_USERNS = 0xB701
_HERE = -100
_NEVER = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL)
NOT_PERMITTED = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(pid: int, directory: str, target: str) -> None:
    """Mount it.

    1. Find process 1 of the sandbox, and open its mount namespace before looking whether it is still the one.
    2. Make a detached, read-only copy of the directory's mount, without what is mounted below it.
    3. Enter the namespace, and attach the copy where nothing is mounted yet. Nothing is executed or read in there.

    Root may do so at once. Somebody else needs rights over mounts twice: over those of the host, which a user
    namespace of its own gives, and over the sandbox's, which its namespace's owner has. Raises OSError.
    """
    inner = _only_child(pid)
    namespace = os.open(f"/proc/{inner}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    if _only_child(pid) != inner or os.fstat(namespace).st_ino == Path("/proc/self/ns/mnt").stat().st_ino:
        raise OSError("the process is no sandbox")
    if os.geteuid() == 0:
        tree = _detached(directory)
    else:
        tree = _detached_by_another(directory)
        _enter(fcntl.ioctl(namespace, _GET_OWNING_USERNS), _NEW_USER)
    _enter(namespace, _NEW_MOUNTS)
    if Path(target).stat().st_dev != Path(target).parent.stat().st_dev:
        raise OSError("the sandbox has a release already")
    _call(_MOVE_MOUNT, tree, b"", _HERE, target.encode(), _FROM_EMPTY_PATH)


def _only_child(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def _detached(directory: str) -> int:
    tree = _call(_OPEN_TREE, _HERE, os.fsencode(directory), _CLONE_TREE | os.O_CLOEXEC)
    attributes = struct.pack("=4Q", _RDONLY | _NOSUID | _NODEV | _NOEXEC, 0, 0, 0)
    _call(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH, attributes, len(attributes))
    return tree


def _detached_by_another(directory: str) -> int:
    """The same, by a child in a user and mount namespace of its own; this process must stay in the sandbox's parent."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        if _libc.unshare(_NEW_USER | _NEW_MOUNTS) != 0:
            raise OSError(ctypes.get_errno(), "no user namespace of its own")
        socket.send_fds(theirs, [b"."], [_detached(directory)])
        os._exit(0)
    theirs.close()
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    os.waitpid(child, 0)
    if not descriptors:
        raise PermissionError(errno.EPERM, "no right to make mounts")
    return descriptors[0]


def _enter(namespace: int, kind: int) -> None:
    if _libc.setns(namespace, kind) != 0:
        raise OSError(ctypes.get_errno(), "the sandbox's namespace may not be entered")


def _call(number: int, *arguments: int | bytes) -> int:
    words = (ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments)
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number} was refused")
    return result


def main() -> int:
    """The exit status: 0, NOT_PERMITTED where trying again is of no use, or 1."""
    try:
        mount(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return NOT_PERMITTED if isinstance(error, OSError) and error.errno in _NEVER else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
