import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models_registry.runtime import pool as pool_module
from models_registry.runtime import room
from models_registry.runtime.errors import (
    InputError,
    RunnerBusyError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerError,
    RunnerOutOfMemoryError,
)
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB
from tests.runtime.support import eventually, family, is_running, spec_of

ROOT = Path(__file__).resolve().parents[2]
EMBED, CLASSIFY, GENERATE = "feature-extraction", "text-classification", "text-generation"
LONG = {"max_new_tokens": 100, "temperature": 1.0}
LONG_TEXTS = ["a good house"] * 8


@pytest.fixture
def own_pool(config):
    pool = RunnerPool(config, memory_bytes=4096 * MIB)
    yield pool
    pool.close()


def test_second_run_uses_the_loaded_runner(pool, specs):
    pool.run(specs[EMBED], "good", {}, 60)
    before = pool.pids()[specs[EMBED].key]
    result = pool.run(specs[EMBED], "good", {}, 60)
    assert pool.pids()[specs[EMBED].key] == before
    assert result.timings["load_s"] == 0 and 0 < result.timings["run_s"] < 5


def test_run_of_a_loaded_release_does_not_read_its_directory(pool, specs, monkeypatch):
    pool.run(specs[EMBED], "good", {}, 60)
    monkeypatch.setattr(pool_module, "weights_bytes", lambda path: pytest.fail("looked for weights"))
    assert pool.run(specs[EMBED], "good", {}, 60).timings["load_s"] == 0


def test_fingerprints_of_two_runs_share_nothing_that_one_could_change(pool, specs):
    first, second = (pool.run(specs[EMBED], "good", {}, 60).fingerprint for _ in range(2))
    first["packages"].clear()
    first["batches"].clear()
    assert second["packages"] and second["batches"] == [[1, 3]]
    assert pool.run(specs[EMBED], "good", {}, 60).fingerprint == second


def test_refused_input_starts_nothing(own_pool, specs):
    with pytest.raises(InputError):
        own_pool.run(specs[EMBED], "nul \0", {}, 60)
    assert own_pool.pids() == {}


def test_threads_that_share_a_runner_get_their_own_answers(pool, specs):
    texts = [f"{'good ' * n}house" for n in range(1, 25)]
    expected = np.array([pool.run(specs[EMBED], text, {}, 60).outputs for text in texts])
    with ThreadPoolExecutor(8) as threads:
        given = np.array(list(threads.map(lambda text: pool.run(specs[EMBED], text, {}, 60).outputs, texts)))
    assert np.abs(given - expected).max() <= 1e-5  # they may have run in one batch


def test_runner_outlives_the_thread_that_started_it(own_pool, specs):
    """bwrap's --die-with-parent means the thread that started it, which may be a worker's passing one."""
    thread = threading.Thread(target=lambda: own_pool.run(specs[EMBED], "good", {}, 60))
    thread.start()
    thread.join()
    before = own_pool.pids()
    own_pool.run(specs[EMBED], "good", {}, 60)
    assert before and own_pool.pids() == before


def test_run_past_its_deadline_is_ended_and_the_next_one_answers(pool, specs):
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    processes = family(pool.pids()[specs[GENERATE].key])
    started = time.monotonic()
    with pytest.raises(RunnerDeadlineError):
        pool.run(specs[GENERATE], LONG_TEXTS, LONG, 0.1)
    assert time.monotonic() - started < 3
    assert len(processes) >= 3 and eventually(lambda: not any(map(is_running, processes)))
    assert pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60).timings["load_s"] > 0


def test_run_that_waited_for_its_turn_has_its_whole_deadline(pool, specs):
    """Somebody else's run must not use up the time of the next one, which would end the runner for everybody."""
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    alone_s = pool.run(specs[GENERATE], LONG_TEXTS, LONG, 60).timings["run_s"]
    before = pool.pids()[specs[GENERATE].key]
    # The run would need what is left of the deadline several times over, and a fraction of a whole one.
    deadline_s = max(10 * alone_s, 5.0)
    with ThreadPoolExecutor(1) as threads:
        with pool._slots[specs[GENERATE].key].turn:
            waiting = threads.submit(pool.run, specs[GENERATE], LONG_TEXTS, LONG, deadline_s)
            time.sleep(deadline_s - alone_s / 4)
        result = waiting.result()
    assert len(result.outputs) == 8
    assert result.timings["wait_s"] >= deadline_s - alone_s
    assert pool.pids()[specs[GENERATE].key] == before


def test_run_whose_turn_does_not_come_is_busy_and_spares_the_runner(pool, specs):
    pool.run(specs[EMBED], "good", {}, 60)
    before = pool.pids()[specs[EMBED].key]
    with pool._slots[specs[EMBED].key].turn, pytest.raises(RunnerBusyError) as caught:
        pool.run(specs[EMBED], "good", {}, 0.1)
    assert caught.value.retryable
    assert pool.run(specs[EMBED], "good", {}, 60).timings["load_s"] == 0
    assert pool.pids()[specs[EMBED].key] == before


def test_killed_runner_is_replaced(pool, specs):
    pool.run(specs[EMBED], "good", {}, 60)
    before = pool.pids()[specs[EMBED].key]
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: not is_running(before))
    assert pool.run(specs[EMBED], "good", {}, 60).timings["load_s"] > 0
    assert pool.pids()[specs[EMBED].key] != before


def test_runner_killed_during_a_run_is_a_retryable_crash(pool, specs):
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    threading.Timer(0.1, os.kill, (pool.pids()[specs[GENERATE].key], signal.SIGKILL)).start()
    with pytest.raises(RunnerCrashedError) as caught:
        pool.run(specs[GENERATE], LONG_TEXTS, LONG, 60)
    assert caught.value.retryable


def test_least_recently_used_runner_makes_room(config, specs):
    pool = RunnerPool(config, memory_bytes=850 * MIB)
    try:
        for task in (EMBED, CLASSIFY):
            pool.run(specs[task], "good", {}, 60)
        pool.run(specs[EMBED], "good", {}, 60)
        assert set(pool.pids()) == {specs[EMBED].key, specs[CLASSIFY].key}
        pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
        assert set(pool.pids()) == {specs[EMBED].key, specs[GENERATE].key}
    finally:
        pool.close()


def test_no_room_before_the_deadline_is_busy(config, specs):
    pool = RunnerPool(config, memory_bytes=450 * MIB)
    try:
        pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
        with ThreadPoolExecutor(1) as threads:
            long_run = threads.submit(pool.run, specs[GENERATE], LONG_TEXTS, LONG, 60)
            assert eventually(lambda: pool._slots[specs[GENERATE].key].users == 1)
            with pytest.raises(RunnerBusyError) as caught:
                pool.run(specs[EMBED], "good", {}, 0.05)
            assert caught.value.retryable
            assert len(long_run.result().outputs) == 8
    finally:
        pool.close()


def test_model_that_is_never_idle_gives_way_to_one_that_does_not_fit_beside_it(config, specs, monkeypatch):
    monkeypatch.setattr(room, "STAY_S", 0.5)
    pool = RunnerPool(config, memory_bytes=450 * MIB)
    flooded, served = threading.Event(), threading.Event()

    def flood() -> int:
        runs = 0
        while not served.is_set():
            pool.run(specs[GENERATE], "good", {"max_new_tokens": 4}, 60, buyer="flood")
            runs += 1
            flooded.set()
        return runs

    try:
        with ThreadPoolExecutor(3) as threads:
            floods = [threads.submit(flood) for _ in range(3)]
            try:
                # As long as a call may take, its start included, on a machine that does other things too.
                assert flooded.wait(60)
                answer = pool.run(specs[EMBED], "good", {}, 60, buyer="other")
            finally:
                served.set()
            assert len(answer.outputs) == 1
            assert all(one.result() for one in floods), "they went on in their turns"
    finally:
        pool.close()


def test_model_larger_than_the_worker_is_refused(config, specs):
    pool = RunnerPool(config, memory_bytes=100 * MIB)
    try:
        with pytest.raises(RunnerOutOfMemoryError, match="100 MiB"):
            pool.run(specs[EMBED], "good", {}, 60)
    finally:
        pool.close()


def test_runner_is_replaced_after_its_number_of_jobs(config, specs):
    pool = RunnerPool(config, memory_bytes=1024 * MIB, recycle_after=1)
    try:
        loads = [pool.run(specs[EMBED], "good", {}, 60).timings["load_s"] > 0 for _ in range(2)]
        assert loads == [True, True]
    finally:
        pool.close()


def test_each_live_runner_has_a_user_of_its_own(pool, specs):
    if pool.plan.way != "setpriv":
        pytest.skip("ONLY A ROOT WORKER'S RUNNERS HAVE A USER OF THEIR OWN: this run is not root's")
    for task in (EMBED, CLASSIFY):
        pool.run(specs[task], "good", {}, 60)
    pids = [family(pool.pids()[specs[task].key])[-1] for task in (EMBED, CLASSIFY)]
    users = [Path(f"/proc/{pid}").stat().st_uid for pid in pids]
    assert len(set(users)) == 2 and all(user >= pool.plan.config.first_uid for user in users)


def test_close_ends_busy_runners_and_leaves_nothing(config, specs):
    pool = RunnerPool(config, memory_bytes=4096 * MIB)
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    processes = family(pool.pids()[specs[GENERATE].key])
    group = pool._slots[specs[GENERATE].key].runner._process._group
    with ThreadPoolExecutor(1) as threads:
        long_run = threads.submit(pool.run, specs[GENERATE], LONG_TEXTS, LONG, 60)
        assert eventually(lambda: pool._slots[specs[GENERATE].key].users == 1)
        pool.close()
        with pytest.raises(RunnerError):
            long_run.result()
    assert eventually(lambda: not any(map(is_running, processes)))
    assert group is None or not any(directory.exists() for directory in group.directories)
    with pytest.raises(RunnerBusyError):
        pool.run(specs[GENERATE], "good", {}, 60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_pool_refuses_work_after_a_fork(pool, specs):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        try:
            pool.run(specs[EMBED], "good", {}, 5)
        except RuntimeError as error:
            theirs.send(str(error))
        os._exit(0)

    process = context.Process(target=child)
    process.start()
    assert ours.poll(20) and "make one after the fork" in ours.recv()
    process.join()


HOST = """
import sys
from pathlib import Path
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
if __name__ == "__main__":
    pool = RunnerPool(SandboxConfig(), memory_bytes=2048 * MIB)
    spec = RunnerSpec(Path(sys.argv[1]), "0x1", "text-generation")
    pool.run(spec, "good", {"max_new_tokens": 1}, 60)
    print(list(pool.pids().values())[0], flush=True)
    while True:
        pool.run(spec, ["a good house"] * 8, {"max_new_tokens": 100, "temperature": 1.0}, 60)
"""


def test_killed_host_leaves_no_process(tiny_generator):
    host = subprocess.Popen([sys.executable, "-c", HOST, str(tiny_generator)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        processes = family(int(host.stdout.readline()))
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    assert len(processes) >= 3
    assert eventually(lambda: not any(map(is_running, processes)))


def test_interrupted_run_ends_its_runner(pool, specs, monkeypatch):
    """A time limit that a worker raises in the midst of a run must not leave an answer for the next buyer."""
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    runner = pool._slots[specs[GENERATE].key].runner

    def interrupted(**options) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner._process.channel, "receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    assert specs[GENERATE].key not in pool.pids() and eventually(lambda: not is_running(runner.pid))


def test_digest_decides_which_runner_is_shared(pool, tiny_embedder, tmp_path):
    first = spec_of(tiny_embedder, EMBED)
    assert first.key == type(first)(tmp_path, first.digest, EMBED).key


def test_dedicated_runner_is_shared_with_nobody_else(own_pool, specs):
    shared, mine = specs[EMBED], replace(specs[EMBED], dedicated_to="buyer")
    for spec in (shared, mine):
        own_pool.run(spec, "good", {}, 60)
    assert len({own_pool.pids()[spec.key] for spec in (shared, mine)}) == 2
