"""Hostile models that passed intake by luck, in the pool beside somebody else's: theirs fail, the other's goes on."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models_registry.runtime.errors import (
    OutputInvalidError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerOutOfMemoryError,
    RunnerProtocolError,
)
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from tests.runtime.support import eventually, family, is_running, spec_of

PAYLOADS = Path(__file__).parent / "payloads"
EMBED = "feature-extraction"
GOOD = [[0.25, 0.5]]


@pytest.fixture(scope="module")
def pool():
    """A pool in which a release's file says how its model behaves once it is loaded. Runners come out of spares."""
    base = SandboxConfig(memory_bytes=256 * MIB)
    pool = RunnerPool(replace(base, libraries=(*base.libraries, PAYLOADS)), memory_bytes=4096 * MIB)
    pool._starter = RunnerStarter(pool.plan, pool._launcher, spares=1, entry="hostile_payloads:by_release")
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    def make(behaviour: str) -> RunnerSpec:
        directory = tmp_path_factory.mktemp(behaviour)
        for passed in (directory, directory.parent):
            passed.chmod(0o755)
        (directory / "model.safetensors").write_bytes(b"x" * 1000)
        (directory / "behaviour").write_text(behaviour)
        return spec_of(directory, EMBED)

    return make


@pytest.fixture(scope="module")
def others(pool, release):
    """Somebody else's model, loaded before the hostile one comes."""
    spec = release("good")
    assert pool.run(spec, "good", {}, 60).outputs == GOOD
    return spec


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("spins", RunnerDeadlineError),
        ("silent", RunnerDeadlineError),
        ("forks", RunnerDeadlineError),
        ("eats_memory", RunnerOutOfMemoryError),
        ("half_a_frame", RunnerDeadlineError),
        ("half_a_length", RunnerDeadlineError),
        ("half_a_frame_and_leaves", RunnerCrashedError),
        ("giant_frame", RunnerProtocolError),
        ("garbage", RunnerProtocolError),
        ("wrong_id", RunnerProtocolError),
        ("answers_ahead", RunnerProtocolError),
        ("nan", OutputInvalidError),
        ("dies", RunnerCrashedError),
    ],
)
def test_hostile_release_gets_its_code_and_the_next_job_of_somebody_else_is_served(
    pool, release, others, behaviour, error
):
    hostile = release(behaviour)
    with pytest.raises(error) as caught:
        pool.run(hostile, "good", {}, 3 if error is RunnerDeadlineError else 60)
    assert caught.value.message.isprintable()
    assert hostile.key not in pool.pids()
    result = pool.run(others, "good", {}, 60)
    assert (result.outputs, result.timings["load_s"]) == (GOOD, 0)


@pytest.mark.parametrize("behaviour", ["floods_channel", "floods_log", "fills_disk", "two_answers"])
def test_release_that_floods_gets_its_answer_and_no_second_one(pool, release, others, behaviour):
    hostile = release(behaviour)
    assert pool.run(hostile, "good", {}, 60).outputs == GOOD
    processes = family(pool.pids()[hostile.key])
    result = pool.run(others, "good", {}, 60)
    assert (result.outputs, result.timings["load_s"]) == (GOOD, 0)
    if behaviour in ("floods_channel", "two_answers"):
        # What it said too much is not the next buyer's answer: its runner is replaced.
        assert pool.run(hostile, "good", {}, 60).timings["load_s"] > 0
        assert eventually(lambda: not any(map(is_running, processes)))


def test_release_with_weights_of_nan_fails_and_somebody_elses_is_served(tiny_embedder, tmp_path):
    """Real weights and the production payload: the network computes, and what it computes means nothing."""
    import torch  # noqa: PLC0415 - seconds
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    broken = tmp_path / "broken"
    shutil.copytree(tiny_embedder, broken)
    tensors = load_file(broken / "model.safetensors")
    save_file(
        {name: torch.full_like(tensor, math.nan) for name, tensor in tensors.items()},
        broken / "model.safetensors",
        metadata={"format": "pt"},
    )
    (broken / "model.safetensors").chmod(0o644)
    pool = RunnerPool(SandboxConfig(memory_bytes=1536 * MIB), memory_bytes=4096 * MIB, spares=1)
    try:
        with pytest.raises(OutputInvalidError):
            pool.run(spec_of(broken, EMBED), "good", {}, 60)
        assert len(pool.run(spec_of(tiny_embedder, EMBED), "good", {}, 60).outputs[0]) == 32
    finally:
        pool.close()
