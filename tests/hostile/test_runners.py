"""A runner in the hands of its model gets a code, costs the host little, and is gone."""

import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models_registry.runtime import sandbox
from models_registry.runtime.errors import (
    OutputInvalidError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerError,
    RunnerOutOfMemoryError,
    RunnerProtocolError,
)
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.logtail import LogTail
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import MIB, SandboxConfig
from tests.runtime.support import eventually, family, is_running, spec_of

PAYLOADS = Path(__file__).parent / "payloads"
PARAMETERS = {"pooling": "mean", "normalise": True, "truncate": True}


@pytest.fixture(scope="module")
def plan():
    base = SandboxConfig(memory_bytes=256 * MIB)
    return sandbox.require(replace(base, libraries=(*base.libraries, PAYLOADS)))


@pytest.fixture(scope="module")
def launcher():
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture
def start(plan, launcher, tiny_embedder):
    started = []

    def start_payload(name: str, **changes) -> Runner:
        changed = replace(plan, config=replace(plan.config, **changes))
        spec = spec_of(tiny_embedder, "feature-extraction")
        started.append(Runner(changed, launcher, spec, entry=f"hostile_payloads:{name}"))
        return started[-1]

    yield start_payload
    for runner in started:
        runner.close()


def ask(runner: Runner, seconds: float = 10.0):
    return runner.run(["good"], PARAMETERS, until=time.monotonic() + seconds)


def test_payload_that_answers_well_is_believed(start):
    """The other tests change one thing each; this shows that the rest of them is right."""
    assert ask(start("good")).outputs == [[0.25, 0.5]]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ("nan", OutputInvalidError),
        ("wrong_shape", RunnerProtocolError),
        ("wrong_id", RunnerProtocolError),
        ("more_outputs", OutputInvalidError),
        ("text_for_numbers", RunnerProtocolError),
        ("array_answer", RunnerProtocolError),
        ("garbage", RunnerProtocolError),
        ("giant_frame", RunnerProtocolError),
        ("swollen_arrays", RunnerProtocolError),
        ("dies", RunnerCrashedError),
        ("segfaults", RunnerCrashedError),
        ("hangs_up", RunnerCrashedError),
        ("eats_memory", RunnerOutOfMemoryError),
    ],
)
def test_misbehaving_runner_gets_its_code_and_is_gone(start, payload, error):
    runner = start(payload)
    processes = family(runner.pid)
    with pytest.raises(error) as caught:
        ask(runner, 20)
    assert caught.value.message.isprintable()
    assert len(processes) >= 3 and eventually(lambda: not any(map(is_running, processes)))


def test_failure_with_words_of_its_own_shows_none_of_them(start):
    with pytest.raises(RunnerError) as caught:
        ask(start("forged_failure"))
    assert caught.value.code == "runner.failed" and "money" not in caught.value.message


def test_answer_ahead_of_the_question_is_a_protocol_error(start):
    runner = start("answers_ahead")
    assert eventually(lambda: not runner.is_alive())
    with pytest.raises(RunnerProtocolError, match="unasked"):
        ask(runner)


def test_answer_left_for_the_next_buyer_is_never_read(start):
    runner = start("two_answers")
    assert ask(runner).outputs == [[0.25, 0.5]]
    assert not runner.is_alive()
    with pytest.raises(RunnerProtocolError):
        ask(runner)


def test_silent_runner_is_ended_at_the_deadline(start):
    runner = start("silent")
    started = time.monotonic()
    with pytest.raises(RunnerDeadlineError):
        ask(runner, 0.3)
    assert time.monotonic() - started < 2


def test_runner_that_never_gets_ready_is_ended(start):
    with pytest.raises(RunnerDeadlineError):
        start("never_ready", start_timeout_s=3)


def test_runner_that_skips_the_lock_is_ended(start):
    with pytest.raises(RunnerProtocolError):
        start("unlocked")


def test_flood_of_log_costs_the_host_little_and_the_answer_comes(start):
    runner = start("floods_log")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert ask(runner, 30).outputs == [[0.25, 0.5]]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert len(runner.log()) <= 64 * 1024


@pytest.fixture
def slow_log(monkeypatch):
    """The thread that drains a runner's log comes to it late, as on a busy machine."""
    drain = LogTail._drain

    def drain_late(log):
        time.sleep(0.5)
        drain(log)

    monkeypatch.setattr(LogTail, "_drain", drain_late)


def test_log_goes_to_the_operator_without_terminal_controls(start, slow_log):
    with pytest.raises(RunnerCrashedError) as caught:
        ask(start("prints_controls"))
    assert "last words" in caught.value.log and "\x1b" not in caught.value.log
    assert "last words" not in caught.value.message


def test_runner_whose_host_is_gone_leaves_by_itself(plan, launcher, tiny_embedder):
    """The kernel's signal to bwrap may come too early; the closed channel ends what it missed."""
    process = sandbox.launch(plan, launcher, model=tiny_embedder)
    process.channel.close()
    assert process.wait(20) == 0
    process.close()


def test_threads_that_spin_weigh_no_more_than_those_of_an_honest_runner(start, plan):
    """By the kernel's accounts and not by a clock: how busy this machine is besides is nothing that a test knows."""
    if plan.groups is None or plan.groups.cpu is None:
        pytest.skip("RUNNERS HAVE NO WEIGHT HERE: no control group for cpu can be made")
    honest, spinning = start("good", threads=2), start("spins_32_threads", threads=2)
    assert ask(spinning).outputs == ask(honest).outputs
    groups = [runner._process._group for runner in (honest, spinning)]
    assert len({group.cpu for group in groups}) == 2
    name = "cpu.shares" if plan.groups.version == 1 else "cpu.weight"
    assert len({(group.cpu / name).read_text() for group in groups}) == 1
    inside = family(spinning.pid)[-1]
    assert eventually(lambda: len(list(Path(f"/proc/{inside}/task").iterdir())) > 32)
    members = set((groups[1].cpu / "cgroup.procs").read_text().split())
    assert members >= set(map(str, family(spinning.pid)))
    assert not members & set((groups[0].cpu / "cgroup.procs").read_text().split())
    for runner in (honest, spinning):
        runner.close()
    assert not any(group.cpu.exists() for group in groups)


def test_memory_is_capped_in_the_demo_without_control_groups(plan, launcher, tiny_embedder):
    config = replace(plan.config, cgroup_root=Path("/weighhouse-nowhere"), allow_degraded=True)
    degraded = sandbox.require(config)
    runner = Runner(
        degraded, launcher, spec_of(tiny_embedder, "feature-extraction"), entry="hostile_payloads:eats_memory"
    )
    with pytest.raises(RunnerOutOfMemoryError):
        ask(runner, 30)
