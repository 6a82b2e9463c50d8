"""What the runtime's tests share."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from models_registry.runtime.specs import RunnerSpec


def spec_of(path: Path, task: str) -> RunnerSpec:
    return RunnerSpec(path, "0x" + hashlib.sha256(str(path).encode()).hexdigest(), task)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for member in found:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
