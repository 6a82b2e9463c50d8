"""Spare runners: ready before a release is, used once, and nothing of them is left."""

import logging
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models_registry.runtime import background, mounting, sandbox
from models_registry.runtime.background import Background
from models_registry.runtime.errors import ModelUnloadableError
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import BASE_BYTES
from models_registry.runtime.starter import RunnerStarter
from models_registry.runtime.tasks import TASKS
from tests.runtime.support import eventually, family, is_running, spec_of

PAYLOADS = Path(__file__).parents[1] / "hostile" / "payloads"
GOOD = "hostile_payloads:good"  # answers without the seconds of imports
EMBED = "feature-extraction"
PARAMETERS = {"pooling": "mean", "normalise": True, "truncate": True}


@pytest.fixture(scope="module")
def plan(config):
    return sandbox.require(replace(config, libraries=(*config.libraries, PAYLOADS)))


@pytest.fixture(scope="module")
def launcher():
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def starter_of(plan, launcher):
    """Starters whose runners are ended after the test."""
    starters, runners = [], []

    def make(**options) -> RunnerStarter:
        starter = RunnerStarter(plan, launcher, **{"spares": 1, "entry": GOOD, **options})
        starters.append(starter)
        start = starter.start

        def remembered(spec) -> Runner:
            runners.append(start(spec))
            return runners[-1]

        starter.start = remembered
        return starter

    yield make
    for starter in starters:
        starter.close()
    for runner in runners:
        runner.close()


@pytest.fixture
def spec(tiny_embedder):
    return spec_of(tiny_embedder, EMBED)


def spare_of(starter: RunnerStarter) -> int:
    assert eventually(lambda: len(starter.spare_pids()) == 1, within_s=60)
    return starter.spare_pids()[0]


def ask(runner: Runner):
    return runner.run(["a good house"], PARAMETERS, until=time.monotonic() + 60)


def releases_in(pid: int) -> list[list[str]]:
    """Mounts below /model in the sandbox of a process: [root, mount point, options]."""
    lines = Path(f"/proc/{family(pid)[-1]}/mountinfo").read_text().splitlines()
    return [line.split()[3:6] for line in lines if line.split()[4].startswith("/model")]


def test_spare_answers_as_a_runner_that_was_started_for_its_release(starter_of, plan, launcher, spec):
    starter = starter_of(entry=sandbox.SERVE)
    pid = spare_of(starter)
    spare = starter.start(spec)
    anew = Runner(plan, launcher, spec)
    try:
        assert spare.pid == pid
        assert ask(spare).outputs == ask(anew).outputs
        assert ask(spare).fingerprint == ask(anew).fingerprint
    finally:
        anew.close()


@pytest.mark.parametrize("task", ["text2text-generation", "image-classification", "automatic-speech-recognition"])
def test_spare_answers_for_a_release_of_any_task(starter_of, specs, task):
    starter, asked = starter_of(entry=sandbox.SERVE), TASKS[task]
    pid = spare_of(starter)
    runner = starter.start(specs[task])
    inputs = asked.validate_inputs(list(asked.example.inputs))
    parameters = asked.validate_parameters(asked.example.parameters)
    outputs = runner.run(inputs, parameters, until=time.monotonic() + 60).outputs
    assert runner.pid == pid and len(outputs) == len(inputs) and all(outputs)


def test_spare_sees_its_release_alone_and_only_once_it_is_given(starter_of, spec):
    starter = starter_of()
    pid = spare_of(starter)
    assert releases_in(pid) == []
    mounts = Path("/proc/self/mountinfo").read_text()
    starter.start(spec)
    ((root, place, options),) = releases_in(pid)
    assert spec.release_path.resolve().as_posix().endswith(root) and place == "/model/release"
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_spare_is_used_once_and_another_takes_its_place(starter_of, spec, tiny_classifier):
    starter = starter_of()
    first = starter.start(spec).pid
    second = spare_of(starter)
    assert starter.start(spec_of(tiny_classifier, EMBED)).pid == second != first
    assert spare_of(starter) not in (first, second)


def test_spare_that_is_coming_is_waited_for_at_full_speed(starter_of, spec):
    starter = starter_of(entry=sandbox.SERVE)
    assert eventually(lambda: starter._background is not None)
    coming, pids = starter._coming.pid, family(starter._coming.pid)
    first = starter.start(spec)
    assert first.pid == coming
    assert {priority(pid) for pid in pids if is_running(pid)} == {priority(os.getpid())}


def test_only_one_runner_waits_for_a_spare_that_is_coming(starter_of, spec, tiny_classifier):
    starter = starter_of(entry="hostile_payloads:good_after_a_while")
    assert eventually(lambda: starter._background is not None)
    coming = starter._coming.pid
    with ThreadPoolExecutor(2) as threads:
        runners = list(threads.map(starter.start, [spec, spec_of(tiny_classifier, EMBED)]))
    assert len({runner.pid for runner in runners}) == 2 and coming in {runner.pid for runner in runners}


def test_spare_that_died_is_passed_over(starter_of, spec):
    starter = starter_of()
    pid = spare_of(starter)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not is_running(pid))
    runner = starter.start(spec)
    assert runner.pid != pid and ask(runner).outputs == [[0.25, 0.5]]


def test_starter_without_spares_keeps_none(starter_of, spec):
    starter = starter_of(spares=0)
    assert ask(starter.start(spec)).outputs == [[0.25, 0.5]]
    assert starter.spare_pids() == [] and not starter._thread.is_alive()


def test_spares_leave_the_room_that_a_runner_needs(starter_of, spec):
    room = [2 * BASE_BYTES]
    starter = starter_of(spares=2, room=lambda: room[0])
    assert eventually(lambda: len(starter.spare_pids()) == 2, within_s=60)
    processes = [member for pid in starter.spare_pids() for member in family(pid)]
    room[0] = BASE_BYTES - 1
    runner = starter.start(spec)
    assert starter.spare_pids() == []
    assert eventually(lambda: not any(is_running(pid) for pid in processes if pid not in family(runner.pid)))


def test_no_spare_starts_where_there_is_no_room(starter_of, monkeypatch):
    launched = []
    monkeypatch.setattr(sandbox, "launch", lambda *a, **k: launched.append(a))
    asked = []

    def room() -> int:
        asked.append(1)
        return BASE_BYTES - 1

    starter_of(room=room)
    assert eventually(lambda: asked != []) and launched == []


def test_release_that_a_runner_may_not_read_is_refused_by_a_spare_too(starter_of, plan, spec, tmp_path):
    if plan.way != "setpriv":
        pytest.skip("ONLY A ROOT WORKER'S RUNNERS HAVE A USER OF THEIR OWN: this run is not root's")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "model.safetensors").chmod(0o600)
    starter = starter_of()
    spare_of(starter)
    with pytest.raises(ModelUnloadableError, match="0644"):
        starter.start(replace(spec, release_path=tmp_path))


def test_machine_that_permits_no_mount_into_a_sandbox_starts_runners_anew(
    starter_of, spec, tmp_path, monkeypatch, caplog
):
    forbidden = tmp_path / "mounting.py"
    forbidden.write_text("import sys; sys.stderr.write('Operation not permitted'); sys.exit(2)")
    starter = starter_of()
    pid = spare_of(starter)
    monkeypatch.setattr(mounting, "__file__", str(forbidden))
    with caplog.at_level(logging.WARNING):
        runner = starter.start(spec)
    assert runner.pid != pid and ask(runner).outputs == [[0.25, 0.5]]
    assert "Spare runners are off" in caplog.text and "Operation not permitted" in caplog.text
    assert eventually(lambda: not is_running(pid)) and not starter._is_missing()


@pytest.mark.parametrize("was_spare", [True, False], ids=["spare", "started for it"])
def test_sandbox_with_a_release_gets_no_other(starter_of, plan, spec, tiny_classifier, was_spare):
    starter = starter_of(spares=int(was_spare))
    if was_spare:
        spare_of(starter)
    runner = starter.start(spec)
    before = releases_in(runner.pid)
    with pytest.raises(sandbox.NotGivenError, match="has a release already"):
        sandbox.give(plan, runner._process, tiny_classifier)
    assert len(before) == 1 and releases_in(runner.pid) == before


def test_process_that_is_no_sandbox_is_not_entered(plan, tiny_embedder):
    with subprocess.Popen(["sh", "-c", "sleep 60; true"]) as shell:
        assert eventually(lambda: len(family(shell.pid)) == 2)
        process = type("Fake", (), {"pid": shell.pid})()
        with pytest.raises(sandbox.NotGivenError, match="no sandbox"):
            sandbox.give(plan, process, tiny_embedder)
        for pid in reversed(family(shell.pid)):
            os.kill(pid, signal.SIGKILL)


def test_closed_starter_leaves_nothing(starter_of, plan):
    starter = starter_of()
    pid = spare_of(starter)
    (spare,) = starter._ready
    processes = family(pid)
    starter.close()
    starter.close()
    assert len(processes) >= 3 and eventually(lambda: not any(map(is_running, processes)))
    assert spare._group is None or not any(directory.exists() for directory in spare._group.directories)


def test_starter_that_is_closed_while_a_spare_starts_leaves_nothing(starter_of):
    starter = starter_of(entry="hostile_payloads:silent_before_the_lock")
    assert eventually(lambda: starter._coming is not None)
    processes = family(starter._coming.pid)
    starter.close()
    assert starter.spare_pids() == [] and eventually(lambda: not any(map(is_running, processes)))


def test_pool_counts_a_spare_and_gives_its_room_to_a_runner(config, tiny_models, monkeypatch):
    """Room for a runner and little more: the spare becomes the runner, and no other one takes its place."""
    pool = RunnerPool(config, memory_bytes=BASE_BYTES + BASE_BYTES // 2, spares=1)
    try:
        assert eventually(lambda: len(pool._starter.spare_pids()) == 1, within_s=60)
        pid = pool._starter.spare_pids()[0]
        spec = spec_of(tiny_models[EMBED], EMBED)
        pool.run(spec, "good", {}, 60)
        assert pool.pids()[spec.key] == pid
        assert not eventually(lambda: pool._starter._coming is not None, within_s=1)
    finally:
        pool.close()


BUSY = ["sh", "-c", "while :; do :; done & wait"]


@pytest.mark.parametrize("way", ["priority", "pauses"])
def test_start_in_the_background_gives_way_and_is_as_others_afterwards(way, monkeypatch):
    if way == "priority" and not background._may_raise_priority():
        pytest.skip("A PRIORITY CANNOT BE TAKEN BACK HERE: this worker has no CAP_SYS_NICE")
    monkeypatch.setattr(background, "_may_raise_priority", lambda: way == "priority")
    with subprocess.Popen(BUSY) as shell:
        assert eventually(lambda: len(family(shell.pid)) == 2)
        youngest = family(shell.pid)[-1]
        try:
            with Background(shell.pid):
                if way == "priority":
                    assert eventually(lambda: priority(youngest) == 19)
                else:
                    assert eventually(lambda: state(youngest) == "T")
            assert priority(youngest) == priority(os.getpid())
            assert eventually(lambda: state(youngest) == "R")
            assert not eventually(lambda: state(youngest) == "T", within_s=0.5)
        finally:
            os.kill(youngest, signal.SIGKILL)


def priority(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
