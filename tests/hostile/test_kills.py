"""kill -9 of a runner, of its bwrap and of the worker: no process, control group, user id or directory is left."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models_registry.runtime import cgroups
from models_registry.runtime.identities import Identity
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from tests.runtime.support import eventually, family, is_running, spec_of

ROOT = Path(__file__).resolve().parents[2]
PAYLOADS = Path(__file__).parent / "payloads"
EMBED = "feature-extraction"
ENTRY = "hostile_payloads:good"  # answers without the seconds of imports

WORKER = """
import json, sys, time
from pathlib import Path
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from dataclasses import replace
if __name__ == "__main__":
    base = SandboxConfig(memory_bytes=256 * MIB)
    # User ids of its own, so that none is another's who starts a runner meanwhile.
    config = replace(base, libraries=(*base.libraries, Path(sys.argv[2])), first_uid=base.first_uid + base.uid_count)
    pool = RunnerPool(config, memory_bytes=2048 * MIB)
    pool._starter = RunnerStarter(pool.plan, pool._launcher, spares=1, entry=sys.argv[3])
    pool.run(RunnerSpec(Path(sys.argv[1]), "0x1", "feature-extraction"), "good", {}, 60)
    while not pool._starter.spare_pids():
        time.sleep(0.05)
    held = [slot.runner._process for slot in pool._slots.values()] + pool._starter._ready
    print(json.dumps({
        "pids": [process.pid for process in held],
        "uids": [process.identity.uid for process in held if process.identity],
        "groups": [str(path) for process in held if process._group for path in process._group.directories],
    }), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def pool():
    base = SandboxConfig(memory_bytes=256 * MIB)
    pool = RunnerPool(replace(base, libraries=(*base.libraries, PAYLOADS)), memory_bytes=2048 * MIB)
    pool._starter = RunnerStarter(pool.plan, pool._launcher, spares=1, entry=ENTRY)
    yield pool
    pool.close()


def is_free(uid: int) -> bool:
    """Whether the lease of a runner's user id is gone: its name can be bound."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lease:
        try:
            lease.bind(f"\0weighhouse-runner-uid-{uid}")
        except OSError:
            return False
    return True


def left(processes: list[int], groups: list[Path]) -> list[object]:
    """What a sandbox had and is still there."""
    return [*filter(is_running, processes), *(group for group in groups if group.exists())]


def is_released(identity: Identity | None) -> bool:
    """Whether the runner's user id was given back. Its number is no sign: the next runner may have got it."""
    return identity is None or identity._lock.fileno() == -1


VICTIMS = {"bwrap": 0, "process 1": 1, "the model's process": -1}


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("is_spare", [False, True], ids=["runner", "spare"])
def test_killed_process_of_a_sandbox_leaves_nothing_and_the_next_job_runs(pool, tiny_embedder, victim, is_spare):
    spec = spec_of(tiny_embedder, EMBED)
    pool.run(spec, "good", {}, 60)
    assert eventually(lambda: pool._starter.spare_pids() != [], within_s=60)
    doomed = pool._starter._ready[0] if is_spare else pool._slots[spec.key].runner._process
    groups = list(doomed._group.directories) if doomed._group else []
    processes = family(doomed.pid)
    assert len(processes) >= 3 and all(group.exists() for group in groups)
    assert doomed.identity is None or not is_free(doomed.identity.uid)
    os.kill(processes[VICTIMS[victim]], signal.SIGKILL)
    assert eventually(lambda: not is_running(processes[0]))
    other = replace(spec, digest="0x2")
    for asked in (spec, other):
        assert pool.run(asked, "good", {}, 60).outputs == [[0.25, 0.5]]
    assert eventually(lambda: not left(processes, groups) and is_released(doomed.identity)), left(processes, groups)


def test_killed_worker_leaves_nothing_that_the_next_one_does_not_remove(tiny_embedder):
    """Processes, mounts and user ids end with it, by the kernel; empty control groups when another worker starts."""
    mounts = Path("/proc/self/mounts").read_text()
    argv = [sys.executable, "-c", WORKER, str(tiny_embedder), str(PAYLOADS), ENTRY]
    worker = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        held = json.loads(worker.stdout.readline())
        processes = [member for pid in held["pids"] for member in family(pid)]
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    assert len(held["pids"]) == 2 and len(processes) >= 6
    assert eventually(lambda: not left(processes, []) and all(map(is_free, held["uids"]))), left(processes, [])
    assert eventually(lambda: (cgroups.detect(), not left(processes, paths(held)))[1]), left(processes, paths(held))
    assert Path("/proc/self/mounts").read_text() == mounts


def paths(held: dict[str, list[str]]) -> list[Path]:
    return list(map(Path, held["groups"]))
