"""How soon a release answers that no runner has loaded: a spare runner against loading it in a process that is warm.

`.venv/bin/python -m benchmarks.cold_release [--rounds N]`. Real weights (MiniLM), on disk already. Alternately: a first
result through the pool with a spare ready; the same code in a fresh process that has imported torch and transformers;
a first result through the pool without spares. The goal is the process's time and half a second.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.minilm import SENTENCE, TASK, minilm_spec
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
from models_registry.runtime.starter import RunnerStarter

GOAL_S = 0.5
IN_PROCESS = """
import sys, time
from models_registry.runtime.inside import models
models.configure(1)
started = time.perf_counter()
model = models.load(sys.argv[1], sys.argv[2], "float32")
model.run([sys.argv[3]], {"pooling": "mean", "normalise": True, "truncate": True})
print(time.perf_counter() - started)
"""


def first_result(pool: RunnerPool, spec: RunnerSpec) -> float:
    result = pool.run(spec, SENTENCE, {}, 60)
    if result.timings["load_s"] == 0:
        raise SystemExit("The release was loaded already; this measures nothing.")
    # Not the time of the whole call: ending the runner afterwards, to make the next run a first one, is no part of it.
    return sum(result.timings.values())


def in_process(path: Path) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    argv = [sys.executable, "-c", IN_PROCESS, str(path), TASK, SENTENCE]
    return float(subprocess.run(argv, env=environment, capture_output=True, check=True).stdout.split()[-1])


def wait_for_spare(pool: RunnerPool) -> int:
    while not pool._starter.spare_pids():
        time.sleep(0.05)
    return pool._starter.spare_pids()[0]


def warm_runs(spec: RunnerSpec) -> tuple[float, float, int]:
    """Medians of a loaded release's runs in ms: alone, and while a spare starts in the background."""
    pool = RunnerPool(SandboxConfig(threads=1), memory_bytes=3072 * MIB)
    pool.run(spec, SENTENCE, {}, 60)
    quiet = [warm_run(pool, spec) for _ in range(200)]
    pool._starter = RunnerStarter(pool.plan, pool._launcher, spares=1)
    disturbed = []
    while not pool._starter.spare_pids():
        disturbed.append(warm_run(pool, spec))
    pool.close()
    return statistics.median(quiet), statistics.median(disturbed), len(disturbed)


def warm_run(pool: RunnerPool, spec: RunnerSpec) -> float:
    started = time.perf_counter()
    pool.run(spec, SENTENCE, {}, 60)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    spec = minilm_spec()
    # Replaced after every job, so that each is a first one.
    options = {"memory_bytes": 3072 * MIB, "recycle_after": 1}
    spared = RunnerPool(SandboxConfig(threads=1), spares=1, **options)
    plain = RunnerPool(SandboxConfig(threads=1), **options)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {spared.plan.isolation}")
    rows = []
    for _ in range(rounds):
        pid = wait_for_spare(spared)
        with_spare = first_result(spared, spec)
        if pid in spared._starter.spare_pids():
            raise SystemExit("The spare was not used; this measures nothing.")
        # The next spare starts in the background: what is compared must not share the cores with it.
        wait_for_spare(spared)
        rows.append((with_spare, in_process(spec.release_path), first_result(plain, spec)))
    spared.close()
    plain.close()
    names = ("spare ready", "in process", "no spare")
    print(f"{'first result, s':<14} {'median':>8} {'best':>8}   of {rounds}")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:<14} {statistics.median(column):8.2f} {min(column):8.2f}")
    extra = statistics.median(spare - process for spare, process, _ in rows)
    print(f"\na spare is {extra:+.2f} s from the process (goal: at most +{GOAL_S} s)")
    quiet, disturbed, count = warm_runs(spec)
    print(f"a warm run, ms: {quiet:.1f} alone, {disturbed:.1f} while a spare starts (medians, {count} runs meanwhile)")


if __name__ == "__main__":
    main()
