"""Releases that are loaded before a call wants them: beside the calls, never in their way."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models_registry.runtime import warming as warming_module
from models_registry.runtime.errors import ModelUnloadableError
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import BASE_BYTES, MIB
from tests.runtime.support import eventually, is_running

EMBED, CLASSIFY = "feature-extraction", "text-classification"
ROOM_FOR_ONE = BASE_BYTES + 32 * MIB


@pytest.fixture
def pool_of(config):
    """`pool_of(bytes)`: pools that are closed after the test."""
    pools = []

    def make(memory_bytes: int = 2048 * MIB, **options) -> RunnerPool:
        pools.append(RunnerPool(config, memory_bytes=memory_bytes, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def held(monkeypatch):
    """Loads in the background stop before they load, until `go` is set. `begun` says that one is there."""

    class Held:
        go, begun = threading.Event(), threading.Event()
        processes: list = []

    real = warming_module.Warming._begin

    def begin(self, process):
        real(self, process)
        Held.processes.append(process)
        Held.begun.set()
        while not Held.go.wait(0.05) and process.is_alive():
            pass

    monkeypatch.setattr(warming_module.Warming, "_begin", begin)
    Held.processes.clear()
    yield Held
    Held.go.set()


def test_warm_release_answers_its_first_call_without_a_load(pool_of, specs):
    pool = pool_of()
    assert pool.warm(specs[EMBED])
    before = pool.pids()
    result = pool.run(specs[EMBED], "good", {}, 60)
    assert (result.timings["load_s"], pool.pids()) == (0, before)


def test_warm_of_a_loaded_release_starts_nothing(pool_of, specs):
    pool = pool_of()
    pool.run(specs[EMBED], "good", {}, 60)
    before = pool.pids()
    assert pool.warm(specs[EMBED]) and pool.pids() == before


def test_call_for_a_release_that_is_being_loaded_waits_for_that_load_which_is_hurried(pool_of, specs, held):
    pool = pool_of()
    with ThreadPoolExecutor(2) as threads:
        loading = threads.submit(pool.warm, specs[EMBED])
        assert held.begun.wait(10)
        warming = pool._slots[specs[EMBED].key].warming
        call = threads.submit(pool.run, specs[EMBED], "good", {}, 60)
        assert eventually(lambda: warming._is_hurried and warming._background is None)
        held.go.set()
        assert loading.result() and call.result().timings["load_s"] == 0
    assert [process.pid for process in held.processes] == list(pool.pids().values())


def test_load_that_a_call_hurried_has_as_long_as_any_other_start(config, pool_of, specs, held):
    pool = pool_of()
    pool.plan = replace(pool.plan, config=replace(config, start_timeout_s=1))
    with ThreadPoolExecutor(1) as threads:
        try:
            loading = threads.submit(pool.warm, specs[EMBED])
            assert held.begun.wait(10)
            time.sleep(1.5)
            assert held.processes[0].is_alive(), "nobody waits for it"
            pool._slots[specs[EMBED].key].warming.hurry()
            assert loading.exception(timeout=20) is not None
        finally:
            held.go.set()
    assert not is_running(held.processes[0].pid)


def test_hurry_without_a_thread_for_the_clock_goes_on(pool_of, specs, held, monkeypatch):
    def none_left(*_):
        raise RuntimeError("can't start new thread")

    pool = pool_of()
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(pool.warm, specs[EMBED])
        assert held.begun.wait(10)
        warming = pool._slots[specs[EMBED].key].warming
        monkeypatch.setattr(warming._late, "start", none_left)
        warming.hurry()
        held.go.set()
        assert loading.result() and warming._is_hurried


def test_warm_takes_no_room_from_a_loaded_release(pool_of, specs):
    pool = pool_of(ROOM_FOR_ONE)
    pool.run(specs[EMBED], "good", {}, 60)
    before = pool.pids()
    assert not pool.warm(specs[CLASSIFY])
    assert pool.pids() == before


def test_warm_leaves_the_room_of_the_spares(pool_of, specs):
    assert not pool_of(ROOM_FOR_ONE, spares=1).warm(specs[EMBED])


def test_warm_of_a_release_whose_turn_a_call_has_does_nothing(pool_of, specs):
    pool = pool_of()
    pool.run(specs[EMBED], "good", {}, 60)
    with pool._slots[specs[EMBED].key].turn:
        assert not pool.warm(specs[EMBED])


def test_call_that_needs_the_room_ends_a_load_in_the_background(pool_of, specs, held):
    pool = pool_of(ROOM_FOR_ONE)
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(pool.warm, specs[EMBED])
        assert held.begun.wait(10)
        started = time.monotonic()
        assert pool.run(specs[CLASSIFY], "good", {}, 60).outputs
        assert loading.exception(timeout=10) is not None
    assert list(pool.pids()) == [specs[CLASSIFY].key]
    assert time.monotonic() - started < 30
    assert not is_running(held.processes[0].pid)


def test_warm_release_that_no_call_used_makes_room_first(pool_of, specs):
    pool = pool_of(2 * ROOM_FOR_ONE)
    pool.run(specs[EMBED], "good", {}, 60)
    assert pool.warm(specs[CLASSIFY])
    other = replace(specs[EMBED], dedicated_to="somebody")
    pool.run(other, "good", {}, 60)
    assert set(pool.pids()) == {specs[EMBED].key, other.key}


def test_release_that_does_not_load_holds_no_room_afterwards(pool_of, specs, tmp_path):
    pool = pool_of(ROOM_FOR_ONE)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        path.chmod(0o755)
    broken = replace(specs[EMBED], release_path=tmp_path, digest="0xbroken")
    with pytest.raises(ModelUnloadableError):
        pool.warm(broken)
    assert pool.pids() == {} and pool.run(specs[EMBED], "good", {}, 60).outputs


def test_closing_ends_a_load_in_the_background(pool_of, specs, held):
    pool = pool_of()
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(pool.warm, specs[EMBED])
        assert held.begun.wait(10)
        pool.close()
        assert loading.exception(timeout=10) is not None
    assert not is_running(held.processes[0].pid)


def test_load_in_the_background_is_at_low_priority_and_the_runner_is_not(pool_of, specs, monkeypatch):
    begun = []
    real = warming_module.Warming._begin

    def begin(self, process):
        real(self, process)
        begun.append(self._background is not None)

    monkeypatch.setattr(warming_module.Warming, "_begin", begin)
    pool = pool_of()
    assert pool.warm(specs[EMBED]) and begun == [True]
    runner = pool._slots[specs[EMBED].key].runner
    assert isinstance(runner, Runner) and pool.run(specs[EMBED], "good", {}, 60).timings["run_s"] < 5
