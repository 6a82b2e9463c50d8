"""Ties every process of the site to its supervisor, so that no death of the supervisor leaves an orphan.

Where the kernel allows it, the site runs in a PID namespace of its own: when its first process dies, however it dies,
the kernel kills all the others, those in sessions of their own (the sandboxes) too. Root may do that directly, another
user through a user namespace. Elsewhere (most containers) each process asks the kernel for SIGKILL at its parent's
death (PR_SET_PDEATHSIG), level by level.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.demo import binaries

_PR_SET_PDEATHSIG = 1
_PROBE_TIMEOUT_S = 15
_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
_libc = ctypes.CDLL(None, use_errno=True)


def namespace_command() -> list[str]:
    """The command prefix that starts a PID namespace here, empty where none can be started."""
    if shutil.which("unshare") is None:
        return []
    if os.geteuid() == 0:
        return _NAMESPACE if _succeeds([*_NAMESPACE, "true"]) else []
    as_user = ["unshare", "--user", "--map-current-user", *_NAMESPACE[1:]]
    # The sandbox needs a user namespace inside this one. A site that could not run models would be no gain.
    sandbox = [binaries.bubblewrap(), "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]
    return as_user if _succeeds([*as_user, *sandbox]) else []


def die_with_parent(*, sent: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process `sent` when the thread that started it ends."""
    if _libc.prctl(_PR_SET_PDEATHSIG, int(sent), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def children_of(pid: int) -> list[int]:
    """Process ids of the children of `pid`, as seen from here."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return children


def descendants_of(pid: int) -> list[int]:
    """All processes below `pid`, parents before children."""
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
