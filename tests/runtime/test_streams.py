"""Generated text while it is written, and runs that are given up."""

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from models_registry.runtime.errors import RunnerCancelledError
from tests.fixtures.media import image_of, tone, wav_of
from tests.runtime.support import eventually

EMBED, GENERATE = "feature-extraction", "text-generation"
PROMPTS = ["once upon a time", "a good house"]
LONG = {"max_new_tokens": 60, "temperature": 1.0}


@pytest.fixture
def spec(pool, specs):
    pool.run(specs[GENERATE], "good", {"max_new_tokens": 1}, 60)
    return specs[GENERATE]


@pytest.mark.parametrize("asked", [{"max_new_tokens": 24}, {"max_new_tokens": 40, "temperature": 1.0, "seed": 5}])
def test_pieces_in_order_are_the_texts_that_come_without_them(pool, spec, asked):
    pieces: list[tuple[int, str]] = []
    result = pool.run(spec, PROMPTS, asked, 60, on_text=lambda *piece: pieces.append(piece))
    assert result.outputs == pool.run(spec, PROMPTS, asked, 60).outputs
    for position, output in enumerate(result.outputs):
        assert "".join(text for place, text in pieces if place == position) == output["text"]
    assert [place for place, _ in pieces] == sorted(place for place, _ in pieces)
    assert len(pieces) > 4


def test_pieces_come_while_the_model_writes(pool, spec):
    """The run is stopped by what it has written so far, which it can be only if that came before the end."""
    cancelled, pieces = threading.Event(), []

    def on_text(position: int, text: str) -> None:
        pieces.append(text)
        cancelled.set()

    with pytest.raises(RunnerCancelledError):
        pool.run(spec, ["a good house"] * 8, LONG, 60, on_text=on_text, cancelled=cancelled)
    assert 1 <= len(pieces) < 8 * 60


def test_no_piece_of_a_stop_text_is_given(pool, spec):
    whole = pool.run(spec, PROMPTS[0], {"max_new_tokens": 24}, 60).outputs[0]["text"]
    stop, pieces = whole[6:12], []
    asked = {"max_new_tokens": 24, "stop": [stop]}
    result = pool.run(spec, PROMPTS[0], asked, 60, on_text=lambda _, text: pieces.append(text)).outputs[0]
    assert "".join(pieces) == result["text"] == whole[: whole.index(stop)]


def test_task_without_text_never_calls(pool, specs):
    result = pool.run(specs[EMBED], "good", {}, 60, on_text=lambda *_: pytest.fail("called"))
    assert len(result.outputs) == 1


def test_cancelled_generation_stops_and_its_runner_serves_the_next(pool, spec):
    before, cancelled = pool.pids()[spec.key], threading.Event()
    with pytest.raises(RunnerCancelledError) as caught:
        pool.run(spec, ["a good house"] * 8, LONG, 60, on_text=lambda *_: cancelled.set(), cancelled=cancelled)
    assert not caught.value.retryable
    assert pool.run(spec, "good", {"max_new_tokens": 1}, 60).timings["load_s"] == 0
    assert pool.pids()[spec.key] == before


def test_generation_without_a_reader_can_be_cancelled(pool, spec):
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(pool.run, spec, ["a good house"] * 8, {"max_new_tokens": 63}, 60, cancelled=cancelled)
        runner = pool._slots[spec.key].runner
        assert eventually(lambda: not runner._process.channel.is_quiet() or runner.jobs > 0)
        cancelled.set()
        started = time.monotonic()
        with pytest.raises(RunnerCancelledError):
            run.result()
    assert time.monotonic() - started < 10
    assert len(pool.run(spec, "good", {"max_new_tokens": 1}, 60).outputs) == 1


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("image-classification", image_of("PNG", 3000, 3000)),
        ("automatic-speech-recognition", wav_of(tone(440, 44_100, 20.0), 44_100)),
    ],
)
def test_cancelled_run_of_files_spares_its_runner(pool, specs, monkeypatch, task, data):
    inputs = [{"data": base64.b64encode(data).decode()}]
    pool.run(specs[task], inputs, {}, 60)
    before, cancelled = pool.pids()[specs[task].key], threading.Event()
    channel = pool._slots[specs[task].key].runner._process.channel
    receive = channel.receive

    def given_up(**options):
        cancelled.set()  # the request has been sent
        return receive(**options)

    with monkeypatch.context() as patched, pytest.raises(RunnerCancelledError):
        patched.setattr(channel, "receive", given_up)
        pool.run(specs[task], inputs * 4, {}, 60, cancelled=cancelled)
    assert pool.run(specs[task], inputs, {}, 60).timings["load_s"] == 0
    assert pool.pids()[specs[task].key] == before


def test_call_that_was_cancelled_before_it_began_runs_nothing(pool, specs):
    cancelled = threading.Event()
    cancelled.set()
    pool.run(specs[EMBED], "good", {}, 60)
    jobs = pool._slots[specs[EMBED].key].runner.jobs
    with pytest.raises(RunnerCancelledError):
        pool.run(specs[EMBED], "good", {}, 60, cancelled=cancelled)
    assert pool._slots[specs[EMBED].key].runner.jobs == jobs


def test_cancel_that_comes_after_the_answer_is_overlooked(pool, specs):
    """The host says it while the last word is under way; the next request must not pay for it."""
    pool.run(specs[EMBED], "good", {}, 60)
    runner = pool._slots[specs[EMBED].key].runner
    runner._send({"cancel": b"0" * 16}, until=time.monotonic() + 5)
    assert pool.run(specs[EMBED], "good", {}, 60).timings["load_s"] == 0


def test_reader_that_fails_gets_its_error_back_and_the_runner_lives(pool, spec):
    before = pool.pids()[spec.key]

    def on_text(position: int, text: str) -> None:
        raise LookupError("the reader's own")

    with pytest.raises(LookupError, match="the reader's own"):
        pool.run(spec, PROMPTS, LONG, 60, on_text=on_text)
    assert pool.run(spec, "good", {"max_new_tokens": 1}, 60).outputs and pool.pids()[spec.key] == before
