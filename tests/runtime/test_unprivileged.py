"""A worker without privileges runs models too, in a user namespace."""

import json

from models_registry.runtime.specs import SandboxConfig
from tests.hostile import unprivileged
from tests.runtime.support import spec_of

TASK = "feature-extraction"
RUN = """
import json, os, sys, time
from pathlib import Path
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
path, libraries = sys.argv[1], json.loads(sys.argv[2])
config = SandboxConfig(libraries=tuple(map(Path, libraries)), allow_degraded=True, cgroup_root=Path("/nowhere"))
pool = RunnerPool(config, memory_bytes=1024 * MIB, spares=1)
while not (spares := pool._starter.spare_pids()):
    time.sleep(0.05)
result = pool.run(RunnerSpec(Path(path), "0x1", "feature-extraction"), ["a good house"], {}, 60)
(pid,) = pool.pids().values()
pool.close()
told = {"uid": os.getuid(), "outputs": result.outputs, "isolation": result.fingerprint["isolation"]}
print(json.dumps({**told, "was_spare": [pid] == spares}))
"""


def test_unprivileged_worker_gives_the_same_answer_out_of_a_spare(pool, specs):
    path = specs[TASK].release_path
    libraries = json.dumps([str(library) for library in SandboxConfig().libraries])
    told = json.loads(unprivileged.run(RUN, str(path), libraries, reachable=[path]).splitlines()[-1])
    assert told["uid"] != 0
    assert told["isolation"].startswith("bwrap-userns+rlimit-watchdog+seccomp")
    assert told["was_spare"]
    assert told["outputs"] == pool.run(spec_of(path, TASK), ["a good house"], {}, 60).outputs
