"""Callers that wait at the same time are answered together, and none of them can tell, but for the batch's shape."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models_registry.runtime import joining, turns
from models_registry.runtime.errors import InputError, ModelUnloadableError, RunnerBusyError, RunnerProtocolError
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import MIB, RunnerSpec
from models_registry.runtime.wire import HostChannel
from tests.fixtures.weights import readable
from tests.runtime.support import eventually, spec_of

EMBED, CLASSIFY, GENERATE = "feature-extraction", "text-classification", "text-generation"
SURE = {"truncate": False}


class Crowd:
    """Calls that wait together while nobody has the turn."""

    def __init__(self, pool: RunnerPool, spec: RunnerSpec, threads: ThreadPoolExecutor) -> None:
        self._pool, self._spec, self._threads, self.calls = pool, spec, threads, []

    def add(self, inputs, parameters=None, *, buyer="", **options) -> Future:
        self.calls.append(
            self._threads.submit(self._pool.run, self._spec, inputs, parameters or {}, 60, buyer=buyer, **options)
        )
        # One by one, so that the first one leads and the order is known.
        assert eventually(lambda: self._pool._slots[self._spec.key].users == len(self.calls))
        assert eventually(lambda: self._pool._slots[self._spec.key].turns._waiting() == len(self.calls) - 1)
        return self.calls[-1]


@contextmanager
def crowd(pool: RunnerPool, spec: RunnerSpec) -> Iterator[Crowd]:
    if spec.key not in pool.pids():
        pool.run(spec, "good", {}, 60)
    with ThreadPoolExecutor(64) as threads, pool._slots[spec.key].turn:
        yield Crowd(pool, spec, threads)


def watched(monkeypatch, owner: type, name: str, see: Callable[..., object]) -> None:
    """Have `see` called before each call of a method."""
    method = getattr(owner, name)

    def seen(*values, **options):
        see(*values, **options)
        return method(*values, **options)

    monkeypatch.setattr(owner, name, seen)


def test_waiting_callers_run_in_one_batch_and_get_their_own_answers(pool, specs):
    spec = specs[EMBED]
    texts = [["good"], ["a good house", "true"], ["house " * 70]]
    alone = [pool.run(spec, each, {}, 60) for each in texts]
    with crowd(pool, spec) as calls:
        for n, each in enumerate(texts):
            calls.add(each, buyer=f"buyer {n}")
    together = [call.result() for call in calls.calls]
    for joined, single in zip(together, alone, strict=True):
        assert np.abs(np.array(joined.outputs) - np.array(single.outputs)).max() <= 1e-5
        assert joined.usage == single.usage
        assert joined.fingerprint["batches"] == [[4, 64]]
    assert [result.usage["truncated"] for result in together] == [[], [], [0]]


def test_labels_and_scores_of_joined_callers_are_their_own(pool, specs):
    spec = specs[CLASSIFY]
    texts = [f"{word} house" for word in ("good", "true", "once", "upon")]
    alone = [pool.run(spec, text, {}, 60).outputs for text in texts]
    with crowd(pool, spec) as calls:
        for n, text in enumerate(texts):
            calls.add(text, buyer=f"buyer {n}")
    for call, single in zip(calls.calls, alone, strict=True):
        assert {e["label"]: pytest.approx(e["score"], abs=1e-5) for e in call.result().outputs[0]} == {
            e["label"]: e["score"] for e in single[0]
        }


def test_answers_do_not_wait_for_the_end_of_a_runner_that_is_replaced(config, specs, monkeypatch):
    pool = RunnerPool(config, memory_bytes=1024 * MIB, recycle_after=3)
    answered = []
    try:
        with crowd(pool, specs[EMBED]) as calls:
            calls.add("good", buyer="leader")
            taken_along = calls.add("house", buyer="another")
            watched(monkeypatch, Runner, "close", lambda _: answered.append(bool(taken_along.result(20).outputs)))
        assert calls.calls[0].result().outputs
        assert answered == [True]
    finally:
        monkeypatch.undo()
        pool.close()


def test_callers_that_ask_for_different_things_are_not_joined(pool, specs):
    with crowd(pool, specs[EMBED]) as calls:
        calls.add("good", {"normalise": True})
        calls.add("good", {"normalise": False})
        calls.add("good")
    shapes = [call.result().fingerprint["batches"] for call in calls.calls]
    assert [shape[0][0] for shape in shapes] == [2, 1, 2]


def test_refused_input_hits_its_caller_alone_and_the_others_stay_joined(pool, specs):
    spec = specs[EMBED]
    with crowd(pool, spec) as calls:
        pid = pool.pids()[spec.key]
        good = [calls.add("good", SURE, buyer="a")]
        long = calls.add(["good", "house " * 100], SURE, buyer="b")
        good += [calls.add(["house"], SURE, buyer=name) for name in "cd"]
    with pytest.raises(InputError, match="Input 2 is longer") as caught:
        long.result()
    assert caught.value.data["position"] == 1
    assert [call.result().fingerprint["batches"] for call in good] == [[[3, 3]]] * 3
    assert pool.pids()[spec.key] == pid


def test_refused_leader_takes_nobody_with_it(pool, specs):
    with crowd(pool, specs[EMBED]) as calls:
        long = calls.add("house " * 100, SURE, buyer="a")
        good = calls.add("good", SURE, buyer="b")
    with pytest.raises(InputError, match="Input 1 is longer"):
        long.result()
    assert len(good.result().outputs) == 1


def test_token_beyond_the_vocabulary_hits_its_caller_alone_and_the_runner_lives(pool, tiny_classifier, tmp_path):
    release = readable(shutil.copytree(tiny_classifier, tmp_path / "release"))
    tokenizer = json.loads((release / "tokenizer.json").read_text())
    last = max(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])
    name = "bert.embeddings.word_embeddings.weight"
    tensors = load_file(release / "model.safetensors")
    save_file({**tensors, name: tensors[name][: last[1]].copy()}, release / "model.safetensors", {"format": "pt"})
    path = release / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": last[1]}))
    spec = spec_of(readable(release), CLASSIFY)
    with crowd(pool, spec) as calls:
        pid = pool.pids()[spec.key]
        good, bad = calls.add("good", buyer="a"), calls.add(last[0], buyer="b")
        other = calls.add("house", buyer="c")
    with pytest.raises(ModelUnloadableError, match="token ids"):
        bad.result()
    assert good.result().fingerprint["batches"] == other.result().fingerprint["batches"] == [[2, 3]]
    assert pool.pids()[spec.key] == pid


def test_flood_of_one_buyer_delays_anothers_call_by_one_turn(pool, specs):
    """Prompts are not joined, so that each is a turn."""
    ended: list[str] = []
    with crowd(pool, specs[GENERATE]) as calls:
        for _ in range(20):
            calls.add("good", {"max_new_tokens": 2}, buyer="flood").add_done_callback(lambda _: ended.append("flood"))
        calls.add("good", {"max_new_tokens": 2}, buyer="single").add_done_callback(lambda _: ended.append("single"))
    # After the turn that ran, and perhaps a thread that was quicker to say so.
    assert ended.index("single") <= 2


def test_runner_is_at_the_next_request_while_answers_are_handed_out(pool, specs, monkeypatch):
    monkeypatch.setattr(turns, "_START_S", 60)
    events: list[str] = []
    watched(monkeypatch, HostChannel, "send", lambda *_, **__: events.append("request"))
    watched(monkeypatch, turns.Call, "end", lambda *_: events.append("answer"))
    with crowd(pool, specs[EMBED]) as calls:
        events.clear()
        calls.add("good", {"normalise": True}, buyer="a")
        calls.add("good", {"normalise": False}, buyer="b")
    assert all(call.result().outputs for call in calls.calls)
    assert events == ["request", "request", "answer", "answer"]


def test_crowded_runner_answers_busy_at_once(config, specs):
    pool = RunnerPool(config, memory_bytes=1024 * MIB, most_waiting=2)
    try:
        with crowd(pool, specs[EMBED]) as calls:
            for name in "abc":
                calls.add("good", buyer=name)
            started = time.monotonic()
            with pytest.raises(RunnerBusyError) as caught:
                pool.run(specs[EMBED], "good", {}, 60, buyer="d")
            assert time.monotonic() - started < 30
            assert caught.value.retryable and caught.value.data["retry_after_s"] >= 1
        assert all(call.result().outputs for call in calls.calls)
    finally:
        pool.close()


REPLY = {"row_tokens": [3, 4, 5], "row_batches": [0, 1, 1]}
USAGE = {"input_tokens": 12, "output_tokens": 0, "truncated": [2]}
BATCHES = [[1, 3], [2, 5]]


def test_shares_say_of_each_caller_what_ran():
    first, second = joining.shares(REPLY, [2, 1], usage=USAGE, batches=BATCHES)
    assert first == joining.Share(slice(0, 2), {"input_tokens": 7, "output_tokens": 0, "truncated": []}, BATCHES)
    assert second == joining.Share(slice(2, 3), {"input_tokens": 5, "output_tokens": 0, "truncated": [0]}, [[2, 5]])


@pytest.mark.parametrize(
    "change",
    [
        {"row_tokens": None},
        {"row_tokens": [3, 4]},
        {"row_tokens": [3, 4, 6]},
        {"row_tokens": [-1, 8, 5]},
        {"row_tokens": [3.0, 4, 5]},
        {"row_tokens": "345"},
        {"row_batches": [0, 1, 2]},
        {"row_batches": [0, 0, 1]},
        {"row_batches": [False, 1, 1]},
        {"row_batches": [-1, 1, 1]},
        {"row_batches": {}},
    ],
)
def test_counts_by_input_that_contradict_the_answer_are_a_protocol_error(change):
    with pytest.raises(RunnerProtocolError):
        joining.shares({**REPLY, **change}, [2, 1], usage=USAGE, batches=BATCHES)


@pytest.mark.parametrize("positions", [None, [], [3], [-1], ["0"], [True], [0] * 4, {"0": 0}])
def test_refusal_of_inputs_that_are_not_there_is_a_protocol_error(positions):
    with pytest.raises(RunnerProtocolError):
        joining.refused_positions({"positions": positions}, count=3)
