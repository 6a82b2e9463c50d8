"""Accelerators, as far as they can be tried without one: nodes, settings, what a runner may say, choosing batches."""

# ruff: noqa: PLC0415 - torch takes seconds to import

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from models_registry import runners
from models_registry.runtime import accelerators, command, sandbox
from models_registry.runtime.errors import RunnerProtocolError, SandboxUnavailable
from models_registry.runtime.inside.measuring import Trial, rows_measured
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import MIB

ROOT = Path(__file__).resolve().parents[2]
EMBED = "feature-extraction"
CARD = {
    "name": "NVIDIA H200",
    "capability": "9.0",
    "cuda": "12.9",
    "cudnn": "91002",
    "dtype": "bfloat16",
    "batch_rows": 256,
    "batch_tokens": 65_536,
}
READY = {"device": "cuda", "accelerator": CARD}


def nodes(directory: Path, *names: str) -> list[str]:
    for name in names:
        (directory / name).touch()
    return [path.name for path in accelerators.nodes(directory, is_node=Path.exists)]


def test_nodes_are_those_of_the_driver_and_of_each_card(tmp_path):
    others = ["nvidia-modeset", "nvidia-uvm-tools", "nvidia1x", "null", "sda"]
    found = nodes(tmp_path, "nvidiactl", "nvidia-uvm", "nvidia0", "nvidia11", *others)
    assert found == ["nvidiactl", "nvidia-uvm", "nvidia0", "nvidia11"]


@pytest.mark.parametrize(
    "names", [[], ["nvidiactl", "nvidia-uvm"], ["nvidiactl", "nvidia0"], ["nvidia-uvm", "nvidia0"]]
)
def test_nodes_are_none_where_a_card_or_its_driver_is_missing(tmp_path, names):
    assert nodes(tmp_path, *names) == []


def test_plain_files_are_no_nodes(tmp_path):
    for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
        (tmp_path / name).touch()
    assert accelerators.nodes(tmp_path) == ()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", []), ("/dev/null", ["/dev/null"]), ("/dev/null, /dev/zero", ["/dev/null", "/dev/zero"])],
)
def test_setting_names_the_nodes_that_runners_are_given(settings, given, expected):
    settings.SANDBOX_DEVICES = given
    assert list(map(str, runners.sandbox_config().devices)) == expected


@pytest.mark.parametrize("given", ["/dev/nvidia-nowhere", "/etc/passwd", "/dev", "yes"])
def test_setting_that_names_no_device_is_refused_with_a_sentence(given):
    with pytest.raises(SandboxUnavailable, match=f"{given}, which is no device"):
        runners.devices(given)


def test_setting_auto_takes_what_is_here_and_nothing_where_nothing_is(monkeypatch):
    monkeypatch.setattr(accelerators, "nodes", lambda: ())
    assert runners.devices("auto") == ()
    monkeypatch.setattr(accelerators, "nodes", lambda: (Path("/dev/nvidia0"),))
    assert runners.devices("auto") == (Path("/dev/nvidia0"),)


@pytest.mark.parametrize(
    ("given", "here", "said"),
    [
        ((), (), ""),
        ((), (Path("/dev/nvidia0"),), "An accelerator is here and not used"),
        ((Path("/dev/full"),), (), "Runners are given /dev/full: models can reach the driver"),
    ],
)
def test_card_that_is_not_used_or_that_models_can_reach_is_in_the_log(config, monkeypatch, caplog, given, here, said):
    monkeypatch.setattr(accelerators, "nodes", lambda: here)
    with caplog.at_level(logging.WARNING):
        runners._accelerator_tell(sandbox.detect(replace(config, devices=given)))
    assert (said in caplog.text) if said else (not caplog.records)


def test_runner_with_a_device_that_is_no_card_serves_on_the_processor(config, specs):
    with_device = replace(config, devices=(Path("/dev/full"),))
    pool = RunnerPool(with_device, memory_bytes=2048 * MIB)
    try:
        fingerprint = pool.run(specs[EMBED], "good", {}, 60).fingerprint
    finally:
        pool.close()
    parts = command.Parts(entry="", model=None, identity=None, group=None)
    words = command.build(pool.plan, parts, channel=3, filter_fd=4)
    assert words[words.index("--dev-bind") :][:3] == ["--dev-bind", "/dev/full", "/dev/full"]
    assert (fingerprint["device"], "accelerator" in fingerprint) == ("cpu", False)


def test_runner_on_the_processor_says_nothing_of_a_card():
    assert accelerators.facts({"device": "cpu", "accelerator": CARD}, is_given=False, dtype="bfloat16") == {}


def test_runner_says_which_card_it_uses_and_in_which_precision():
    assert accelerators.facts(READY, is_given=True, dtype="bfloat16") == {"accelerator": CARD}
    assert accelerators.facts({**READY, "accelerator": {**CARD, "cudnn": ""}}, is_given=True, dtype="bfloat16")


def test_precision_is_the_releases_or_float32_where_a_card_has_no_bfloat16():
    said = {**READY, "accelerator": {**CARD, "dtype": "float32"}}
    for dtype in ("bfloat16", "float32"):
        assert accelerators.facts(said, is_given=True, dtype=dtype)
    for ready, dtype in ((said, "float16"), (READY, "float32")):
        with pytest.raises(RunnerProtocolError):
            accelerators.facts(ready, is_given=True, dtype=dtype)


def test_runner_that_names_a_card_it_was_not_given_is_a_protocol_error():
    with pytest.raises(RunnerProtocolError, match="its device"):
        accelerators.facts(READY, is_given=False, dtype="bfloat16")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "<b>own</b>"},
        {"name": "x" * 65},
        {"name": 1},
        {"capability": "9.0\n"},
        {"cuda": None},
        {"cudnn": 91002},
        {"dtype": "int4"},
        {"dtype": "float16"},
        {"dtype": ["float32"]},
        {"batch_rows": "256"},
        {"batch_tokens": -1},
        {"more": "x"},
    ],
)
def test_card_that_cannot_be_right_is_a_protocol_error(change):
    with pytest.raises(RunnerProtocolError):
        accelerators.facts({**READY, "accelerator": {**CARD, **change}}, is_given=True, dtype="bfloat16")


@pytest.mark.parametrize("found", [None, [], {}, {"name": "NVIDIA H200"}])
def test_card_without_its_facts_is_a_protocol_error(found):
    with pytest.raises(RunnerProtocolError):
        accelerators.facts({**READY, "accelerator": found}, is_given=True, dtype="bfloat16")


SETTLED = """
import json, torch
from models_registry.runtime.inside.models import accelerated, configure
configure(1)
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
print(json.dumps({
    "deterministic": torch.get_deterministic_debug_mode() == 1,
    "tf32": matmul.allow_tf32 or cudnn.allow_tf32,
    "reduced": matmul.allow_fp16_reduced_precision_reduction or matmul.allow_bf16_reduced_precision_reduction,
    "benchmark": cudnn.benchmark,
    "cudnn": cudnn.deterministic,
    "device": accelerated.device(),
}))
"""


def test_configuration_settles_what_a_result_on_a_card_depends_on():
    ran = subprocess.run([sys.executable, "-c", SETTLED], cwd=ROOT, capture_output=True, text=True, check=True)
    expected = {"deterministic": True, "tf32": False, "reduced": False, "benchmark": False, "cudnn": True}
    assert json.loads(ran.stdout) == {**expected, "device": "cpu"}


def test_environment_of_a_runner_gives_cublas_a_fixed_workspace(config):
    assert command._VARIABLES["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert {"CUBLAS_WORKSPACE_CONFIG", "CUDA_CACHE_DISABLE"} <= command.VARIABLES


@pytest.mark.parametrize(
    ("device", "wanted", "has_bfloat16", "used"),
    [
        ("cuda", "bfloat16", True, "bfloat16"),
        ("cuda", "bfloat16", False, "float32"),
        ("cuda", "float16", False, "float16"),
        ("cuda", "float32", False, "float32"),
        ("cpu", "bfloat16", False, "bfloat16"),
    ],
)
def test_precision_is_the_manifests_unless_the_card_lacks_it(monkeypatch, device, wanted, has_bfloat16, used):
    import torch

    from models_registry.runtime.inside.models import accelerated

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert accelerated.dtype_on(device, getattr(torch, wanted)) is getattr(torch, used)


class Card:
    """Computes `at_once` rows in the time of one, and more in turns. Has memory for `fits` rows."""

    def __init__(self, *, at_once: int = 1, fits: int = 10_000, second: float = 0.01) -> None:
        self.at_once, self.fits, self.second = at_once, fits, second
        self.tried: list[int] = []

    def __call__(self, rows: int) -> Trial | None:
        self.tried.append(rows)
        turns = -(-rows // self.at_once)
        return Trial(turns * self.second, rows * MIB) if rows <= self.fits else None


def measured(card: Card, *, room: int = 10_000) -> int:
    return rows_measured(card, room_bytes=room * MIB, least=8, most=256)


@pytest.mark.parametrize(("at_once", "expected"), [(1, 8), (8, 8), (16, 16), (64, 64), (1000, 256)])
def test_rows_double_as_long_as_a_row_gets_cheaper_and_no_further_than_they_may(at_once, expected):
    assert measured(Card(at_once=at_once)) == expected


@pytest.mark.parametrize(("room", "expected"), [(7, 8), (16, 16), (63, 32), (64, 64)])
def test_rows_that_would_need_more_than_the_share_of_memory_are_not_tried(room, expected):
    card = Card(at_once=1000)
    assert (measured(card, room=room), max(card.tried)) == (expected, expected)


@pytest.mark.parametrize(("fits", "expected", "tried"), [(5, 4, [8, 4]), (0, 1, [8, 4, 2, 1]), (20, 16, [8, 16, 32])])
def test_rows_that_memory_does_not_suffice_for_are_given_up(fits, expected, tried):
    card = Card(at_once=1000, fits=fits)
    assert (measured(card), card.tried) == (expected, tried)


def test_trials_that_take_long_end_before_the_start_of_the_runner_does():
    card = Card(at_once=1000, second=2.0)
    assert (measured(card), len(card.tried)) == (32, 3)


def test_batches_of_a_processor_stay_the_constants(specs):
    from models_registry.runtime.inside.models import load
    from models_registry.runtime.inside.models.base import BATCH_SIZE, BATCH_TOKENS

    model = load(str(specs[EMBED].release_path), EMBED, "float32")
    assert (model.batch_size, model.batch_tokens) == (BATCH_SIZE, BATCH_TOKENS)
