"""A hostile input, or a hostile model, among callers that are answered together; forged pieces of text."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from models_registry.runtime import sandbox
from models_registry.runtime.errors import (
    RunnerCancelledError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerProtocolError,
)
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import MIB, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from models_registry.runtime.wire import HostChannel
from tests.hostile.test_runners import PARAMETERS, PAYLOADS
from tests.runtime.support import eventually, family, is_running, spec_of
from tests.runtime.test_joining import crowd, watched

GENERATE = {"max_new_tokens": 4, "temperature": 0.0, "top_p": 1.0, "seed": 0, "stop": [], "truncate": True}


@pytest.fixture(scope="module")
def config():
    base = SandboxConfig(memory_bytes=256 * MIB)
    return replace(base, libraries=(*base.libraries, PAYLOADS))


@pytest.fixture
def pool(config):
    """A pool whose runners are the payload `keyed`."""
    pool = RunnerPool(config, memory_bytes=2048 * MIB)
    pool._starter = RunnerStarter(pool.plan, pool._launcher, entry="hostile_payloads:keyed")
    yield pool
    pool.close()


@pytest.fixture
def spec(tiny_embedder):
    return spec_of(tiny_embedder, "feature-extraction")


def test_input_that_kills_the_runner_fails_nobody_else(pool, spec):
    with crowd(pool, spec) as calls:
        first = calls.add("good", buyer="a")
        poison = calls.add("poison", buyer="attacker")
        last = calls.add("good", buyer="b")
    with pytest.raises(RunnerCrashedError):
        poison.result()
    assert first.result().outputs == last.result().outputs == [[0.25, 0.5]]


def test_buyer_whose_input_killed_the_runner_is_joined_with_nobody_after(pool, spec):
    pool.run(spec, "good", {}, 60)
    with pytest.raises(RunnerCrashedError):
        pool.run(spec, "poison", {}, 60, buyer="attacker")
    with crowd(pool, spec) as calls:
        pid = pool.pids()[spec.key]
        first = calls.add("good", buyer="a")
        poison = calls.add("poison", buyer="attacker")
        last = calls.add("good", buyer="b")
    with pytest.raises(RunnerCrashedError):
        poison.result()
    assert first.result().fingerprint["batches"] == last.result().fingerprint["batches"] == [[2, 3]]
    assert not is_running(pid)


def test_input_that_holds_the_runner_past_the_deadline_fails_nobody_else(pool, spec):
    pool.run(spec, "good", {}, 60)
    with ThreadPoolExecutor(3) as threads:
        with pool._slots[spec.key].turn:
            calls = []
            for n, text in enumerate(["tarpit", "good", "good"]):
                calls.append(threads.submit(pool.run, spec, text, {}, 8.0, buyer=f"buyer {n}"))
                assert eventually(lambda n=n: pool._slots[spec.key].turns._waiting() == n)
        with pytest.raises(RunnerDeadlineError):
            calls[0].result()
        assert [call.result().outputs for call in calls[1:]] == [[[0.25, 0.5]]] * 2


def test_forged_counts_by_input_end_the_runner_and_everybody_is_asked_about_alone(pool, spec):
    with crowd(pool, spec) as calls:
        pid = pool.pids()[spec.key]
        for name, text in (("a", "good"), ("b", "forged"), ("c", "good")):
            calls.add(text, buyer=name)
    # Alone there is nothing to divide, so that the counts by input are not read.
    assert [call.result().outputs for call in calls.calls] == [[[0.25, 0.5]]] * 3
    assert [call.result().fingerprint["batches"] for call in calls.calls] == [[[1, 3]]] * 3
    assert not is_running(pid)


def test_runner_that_lied_is_given_no_other_request(pool, spec, monkeypatch):
    """The turn is passed on once the answer is checked, not before."""
    asked: list[tuple[HostChannel, list[str]]] = []
    watched(monkeypatch, HostChannel, "send", lambda end, message, **_: asked.append((end, message.get("inputs", []))))
    with crowd(pool, spec) as calls:
        asked.clear()
        calls.add("forged", buyer="a")
        calls.add("good", buyer="b")
        other = calls.add("good", {"normalise": False}, buyer="c")
    assert other.result().outputs == [[0.25, 0.5]]
    (liar, first), *rest = asked
    assert first == ["forged", "good"] and len(rest) >= 3
    assert all(end is not liar for end, _ in rest)


@pytest.fixture
def start(config, tiny_generator, tiny_embedder):
    plan, launcher = sandbox.require(config), Launcher()
    started = []

    def start_payload(name: str, task="text-generation") -> Runner:
        path = tiny_generator if task == "text-generation" else tiny_embedder
        started.append(Runner(plan, launcher, spec_of(path, task), entry=f"hostile_payloads:{name}"))
        return started[-1]

    yield start_payload
    for runner in started:
        runner.close()
    launcher.close()


def read_along(runner: Runner, on_text):
    return runner.run(["good"], GENERATE, until=time.monotonic() + 10, on_text=on_text)


def test_pieces_that_are_the_text_are_believed(start):
    """The next test changes one thing each; this shows that the rest of them is right."""
    pieces = []
    assert read_along(start("pieces_good"), lambda *piece: pieces.append(piece)).outputs[0]["text"] == "one two"
    assert pieces == [(0, "one "), (0, "two")]


@pytest.mark.parametrize(
    "payload",
    [
        "pieces_of_another_text",
        "pieces_too_few",
        "pieces_for_nobody",
        "pieces_at_minus_one",
        "pieces_at_true",
        "pieces_without_text",
        "pieces_empty",
        "pieces_of_bytes",
        "pieces_too_long",
        "pieces_too_many",
        "pieces_under_another_id",
        "pieces_for_ever",
    ],
)
def test_forged_pieces_end_the_runner(start, payload):
    runner, pieces = start(payload), []
    processes = family(runner.pid)
    with pytest.raises(RunnerProtocolError):
        read_along(runner, lambda *piece: pieces.append(piece))
    assert sum(len(text) for _, text in pieces) <= 5 * 65_536
    assert runner.is_closed and eventually(lambda: not any(map(is_running, processes)))


def test_pieces_that_nobody_asked_for_end_the_runner(start):
    with pytest.raises(RunnerProtocolError):
        start("pieces_good").run(["good"], GENERATE, until=time.monotonic() + 10)


@pytest.mark.parametrize("payload", ["silent", "dribbles"])
def test_runner_that_does_not_react_to_a_cancel_is_ended(start, payload):
    runner, cancelled = start(payload, "feature-extraction"), threading.Event()
    processes = family(runner.pid)
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(RunnerCancelledError):
        runner.run(["good"], PARAMETERS, until=time.monotonic() + 60, is_cancelled=cancelled.is_set)
    assert runner.is_closed and eventually(lambda: not any(map(is_running, processes)))


def test_runner_that_does_not_read_its_request_can_be_cancelled(start):
    runner, cancelled = start("silent", "feature-extraction"), threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(RunnerCancelledError):
        runner.run(["x" * 4_000_000], PARAMETERS, until=time.monotonic() + 200, is_cancelled=cancelled.is_set)
    assert runner.is_closed


def test_answer_that_comes_after_a_cancel_is_given_to_nobody_and_the_runner_lives(start):
    """The next request reads its own answer."""
    runner, looks = start("good", "feature-extraction"), iter([False, False])
    with pytest.raises(RunnerCancelledError):
        runner.run(["good"], PARAMETERS, until=time.monotonic() + 60, is_cancelled=lambda: next(looks, True))
    assert not runner.is_closed and runner.is_alive()
