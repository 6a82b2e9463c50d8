"""The values that cross the runtime's border."""

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1024**2
BASE_BYTES = 400 * MIB  # of a runner without a model: interpreter, torch, transformers


def library_paths() -> tuple[Path, ...]:
    """Where this interpreter's installed packages lie (one directory, two on some systems)."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(Path(paths[key]).resolve() for key in ("purelib", "platlib")))


@dataclass(frozen=True)
class SandboxConfig:
    """How a runner is confined on this machine. The caller reads settings; the runtime reads none.

    `bwrap`, `setpriv` and `prlimit` are paths, or None to look on PATH. `cgroup_root` is a cgroup
    directory that was delegated to this process, or None to try its own. `allow_degraded` permits,
    in the demo, RLIMIT_AS and a watchdog in the place of a memory cgroup, and a kernel without
    Landlock; either is named in every fingerprint. `interpreter`, `standard_library` and `libraries` are
    what a runner executes and imports; they are bound read-only at their own paths. `cpu_seconds` is what
    one runner may compute in its whole life.
    `devices` are device nodes handed to runners (an accelerator's), none by default.
    """

    bwrap: str | None = None
    setpriv: str | None = None
    prlimit: str | None = None
    memory_bytes: int = 3 * 1024 * MIB
    scratch_bytes: int = 64 * MIB
    shared_memory_bytes: int = 16 * MIB
    processes: int = 64
    threads: int = 1
    cpu_seconds: int = 24 * 3600
    start_timeout_s: float = 60.0
    allow_degraded: bool = False
    cgroup_root: Path | None = None
    first_uid: int = 1_878_000_000
    uid_count: int = 4096
    interpreter: Path = field(default_factory=lambda: Path(sys.executable).resolve())
    standard_library: Path = field(default_factory=lambda: Path(sysconfig.get_path("stdlib")).resolve())
    libraries: tuple[Path, ...] = field(default_factory=library_paths)
    devices: tuple[Path, ...] = ()


DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class RunnerSpec:
    """Which model to run: a verified directory of one release, and how.

    `dtype` is what the network computes in (float32, bfloat16, float16); pooling and scores are fp32 always.

    `dedicated_to` names who shares the runner: one buyer's runner is never another's. Empty is everybody.

    The directory and its files must be readable by others (0755, 0644): a runner has a user of its own.
    """

    release_path: Path
    digest: str
    task: str
    dtype: str = "float32"
    dedicated_to: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two specs share a runner."""
        return (self.digest, self.task, self.dtype, self.dedicated_to)


@dataclass(frozen=True)
class RunResult:
    """What came back. Everything here is JSON-serialisable.

    `outputs` holds one entry per input, as the task's output schema says. `usage` counts
    `input_tokens` and `output_tokens` and lists in `truncated` the positions of inputs that were cut.
    `fingerprint` says what ran: versions, dtype, device, seed, threads, isolation, batch shapes.
    `timings` are seconds: `load_s` (0 when the runner was warm), `wait_s`, `run_s`.
    """

    outputs: list[Any]
    fingerprint: Mapping[str, Any]
    timings: Mapping[str, float]
    usage: Mapping[str, Any]
