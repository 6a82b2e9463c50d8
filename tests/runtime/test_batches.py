"""Which rows share a batch, and batches that run beside each other."""

# ruff: noqa: PLC0415 - torch takes seconds to import

import threading
import time
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry.runtime.inside import batches
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB
from tests.runtime.support import family

EMBED, CLASSIFY = "feature-extraction", "text-classification"
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
TEXTS = [f"{'house ' * (n % 7)}good" for n in range(16)]


def largest(chosen: list[batches.Batch], lengths: list[int]) -> int:
    return max(batches.size(batch, lengths) for batch in chosen)


@given(LENGTHS, st.integers(1, 4))
def test_even_batches_hold_every_row_once_and_are_as_small_as_can_be(lengths, most):
    chosen = batches.even(lengths, most_batches=most)
    assert sorted(position for batch in chosen for position in batch) == list(range(len(lengths)))
    assert len(chosen) <= most
    assert largest(chosen, lengths) == min(largest(cut, lengths) for cut in every_cut(lengths, most))


def every_cut(lengths: list[int], most: int) -> list[list[batches.Batch]]:
    """The rows by length, cut in every way."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    cuts = []
    for number in range(min(most, len(order))):
        for places in combinations(range(1, len(order)), number):
            edges = [0, *places, len(order)]
            cuts.append([order[start:end] for start, end in pairwise(edges)])
    return cuts


def test_even_batches_begin_with_the_longest_row():
    assert batches.even([3, 9, 5, 4], most_batches=2) == [[1], [2, 3, 0]]


@given(LENGTHS, st.integers(1, 4), st.integers(1, 100))
def test_batches_in_order_hold_every_row_once_within_their_bounds(lengths, rows, tokens):
    chosen = batches.in_order(lengths, most_rows=rows, most_tokens=tokens)
    assert sorted(position for batch in chosen for position in batch) == list(range(len(lengths)))
    for batch in chosen:
        assert len(batch) <= rows
        assert len(batch) == 1 or batches.size(batch, lengths) <= tokens


@pytest.fixture
def workers():
    from models_registry.runtime.inside.models.workers import Workers

    return Workers(2)


def test_workers_compute_beside_each_other_and_answer_in_order(workers):
    meeting = threading.Barrier(2, timeout=10)
    assert workers.run([lambda: (meeting.wait(), 1)[1], lambda: (meeting.wait(), 2)[1]], look=lambda: None) == [1, 2]


def test_workers_compute_on_one_thread_each_without_gradients_and_leave_the_others_as_they_are(workers):
    import torch

    before = torch.get_num_threads(), torch.is_grad_enabled()
    found = workers.run([lambda: (torch.get_num_threads(), torch.is_grad_enabled())] * 2, look=lambda: None)
    assert found == [(1, False)] * 2
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before


def test_run_that_is_not_wanted_any_more_ends_with_no_job_at_work(workers):
    begun, ended = [], []

    def job() -> None:
        begun.append(1)
        time.sleep(0.05)
        ended.append(1)

    looks = iter([None])

    def look() -> None:
        if next(looks, "unwanted"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        workers.run([job] * 8, look=look)
    assert len(begun) == len(ended) < 8
    assert workers.run([lambda: 1], look=lambda: None) == [1]


def test_job_that_fails_fails_the_run_and_no_job_is_left_at_work(workers):
    meeting, ended = threading.Barrier(2, timeout=10), []

    def fails() -> None:
        meeting.wait()
        raise MemoryError

    def slow() -> None:
        meeting.wait()
        time.sleep(0.05)
        ended.append(1)

    with pytest.raises(MemoryError):
        workers.run([fails, slow], look=lambda: None)
    assert ended == [1]


@pytest.fixture
def text_model(workers):
    """What decides how rows are run, without a network."""
    from models_registry.runtime.inside.models.base import TextModel

    model = object.__new__(TextModel)
    model._workers, model.batch_size = workers, 32
    return model


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [
        ([9], []),
        ([9, 9], [1, 1]),
        ([9] * 9, [5, 4]),
        ([9] * 16, [8, 8]),
        ([9] * 17, [5, 5, 5, 2]),
        ([256] * 16, [8, 8]),
        ([257] * 16, []),  # together more tokens than one batch may have
    ],
)
def test_rows_run_beside_each_other_where_each_thread_has_some_and_memory_is_as_for_one_batch(
    text_model, lengths, shapes
):
    assert [len(batch) for batch in text_model._abreast(lengths)] == shapes


@pytest.fixture(scope="module")
def two_threads(config):
    pool = RunnerPool(replace(config, threads=2), memory_bytes=2048 * MIB)
    yield pool
    pool.close()


@pytest.mark.parametrize("task", [EMBED, CLASSIFY])
def test_two_threads_give_what_one_gives(two_threads, pool, specs, task):
    beside, alone = (each.run(specs[task], TEXTS, {}, 60) for each in (two_threads, pool))
    assert len(beside.fingerprint["batches"]) == 2 and len(alone.fingerprint["batches"]) == 1
    assert sum(rows for rows, _ in beside.fingerprint["batches"]) == len(TEXTS)
    assert np.abs(numbers(beside.outputs) - numbers(alone.outputs)).max() <= 1e-6
    assert beside.usage == alone.usage


def numbers(outputs: list) -> np.ndarray:
    """Vectors as they are; scores in the order of their labels."""
    if isinstance(outputs[0][0], float):
        return np.array(outputs)
    return np.array(
        [[entry["score"] for entry in sorted(scores, key=lambda entry: entry["label"])] for scores in outputs]
    )


def test_threads_that_compute_are_behind_the_same_filters_as_the_one_that_made_them(two_threads, specs):
    two_threads.run(specs[EMBED], TEXTS, {}, 60)
    runner = family(two_threads.pids()[specs[EMBED].key])[-1]
    threads = [status.read_text() for status in Path(f"/proc/{runner}/task").glob("*/status")]
    assert len(threads) >= 3
    for status in threads:
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (fields["Seccomp"], fields["Seccomp_filters"], fields["NoNewPrivs"]) == ("2", "2", "1")
