"""Named places where a test may stop a process in order to kill it there.

`fault_point("indexer.between_blocks")` costs one look-up in an empty dict and does nothing, unless `faults_arm` named
the point. An armed point writes an acknowledgement file, `<directory>/<name>` with the process id in it, and blocks.
The test waits for that file and then either sends SIGKILL, or deletes the file: the process goes on and the point stays
disarmed. `name:3` arms the third pass instead of the first.

This module reads no environment. The server arms it at start-up from its settings, which refuse it outside demo mode.
"""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from weighhouse.core.errors import WeighhouseError

_POLL_INTERVAL_S = 0.02
_lock = threading.Lock()
_passes_left: dict[str, int] = {}
_directory: list[Path] = []


class FaultPlanError(WeighhouseError):
    code = "faults.invalid_plan"


def faults_arm(points: Iterable[str], *, directory: Path) -> None:
    """Arm `name` or `name:n` points and replace what was armed before. An empty iterable disarms all.

    Raises `FaultPlanError` where a name could leave the directory or a count is not a positive number.
    """
    plan = dict(_point_parse(point) for point in points)
    with _lock:
        _passes_left.clear()
        _passes_left.update(plan)
        _directory[:] = [directory]
    if plan:
        directory.mkdir(parents=True, exist_ok=True)


def fault_point(name: str) -> None:
    """Acknowledge and block here if `name` is armed; otherwise return at once."""
    if not _passes_left:
        return
    with _lock:
        left = _passes_left.get(name)
        if left is None:
            return
        if left > 1:
            _passes_left[name] = left - 1
            return
        del _passes_left[name]
        acknowledgement = _directory[0] / name
    _acknowledge(acknowledgement)
    while acknowledgement.exists():
        time.sleep(_POLL_INTERVAL_S)


def _acknowledge(path: Path) -> None:
    # A reader must never see the file without the process id in it.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{os.getpid()}\n")
    temporary.replace(path)


def _point_parse(point: str) -> tuple[str, int]:
    name, _, count = point.partition(":")
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise FaultPlanError(
            f"A fault point is written as dotted words, such as `indexer.between_blocks`; got {point!r}."
        )
    if not count:
        return name, 1
    if not count.isdecimal() or int(count) < 1:
        raise FaultPlanError(f"The pass of a fault point counts from 1; got {point!r}.")
    return name, int(count)
