"""What a check finds, through the services, with real models in the real sandbox."""

import itertools
import json
import shutil
from datetime import timedelta

import pytest
from django.utils import timezone

from models_registry import services
from models_registry.errors import BlockMissingError, ReleaseTooManyChecksError
from models_registry.models import Release, ReleaseState
from models_registry.runtime.errors import InputError, RunnerBusyError, RunnerCrashedError, SandboxUnavailable
from models_registry.storage import get_store
from models_registry.storage.cache import release_fetch
from tests.fixtures.people import OUTSIDER


@pytest.fixture
def files(tiny_embedder, tmp_path):
    """A copy of a good model's files, for a test to spoil."""
    return shutil.copytree(tiny_embedder, tmp_path / "files")


def again(release: Release) -> Release:
    """Check a postponed release now."""
    Release.objects.update(check_after=None)
    services.release_check(release_id=release.pk)
    release.refresh_from_db()
    return release


def codes(release: Release) -> list[str]:
    return [entry["code"] for entry in release.refusals]


@pytest.mark.parametrize("task", ["feature-extraction", "text-classification", "text-generation"])
def test_check_of_a_good_model_makes_it_ready_and_stored(checked, tiny_models, task):
    release = checked(tiny_models[task], task=task)
    assert (release.state, release.refusals) == (ReleaseState.READY, [])
    assert release.fingerprint
    assert get_store().contains(release.root)
    fetched = release_fetch(release.root_cid)
    assert (fetched / "model.safetensors").read_bytes() == (tiny_models[task] / "model.safetensors").read_bytes()


def test_check_of_a_good_model_leaves_no_staged_directory(checked, tiny_embedder, settings):
    checked(tiny_embedder)
    assert list((settings.UPLOAD_DIR / "staging").iterdir()) == []


def test_check_without_config_refuses_and_says_how_to_get_one(checked, files):
    (files / "config.json").unlink()
    release = checked(files)
    assert release.state == ReleaseState.REFUSED
    assert codes(release) == ["config.missing"]
    assert "save_pretrained" in release.refusals[0]["remedy"]
    assert not get_store().contains(release.root)


def test_check_without_tokenizer_refuses(checked, files):
    for path in files.glob("tokenizer*"):
        path.unlink()
    for path in files.glob("vocab*"):
        path.unlink()
    assert codes(checked(files)) == ["tokenizer.missing"]


def test_check_without_weights_refuses(checked, files):
    (files / "model.safetensors").unlink()
    assert codes(checked(files)) == ["weights.missing"]


def test_check_of_a_model_for_another_task_refuses(checked, files):
    release = checked(files, task="text-generation")
    assert codes(release) == ["config.model_type"]


def test_check_of_a_wrong_architecture_refuses(checked, files):
    config = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(json.dumps({**config, "architectures": ["BertForMaskedLM"]}))
    assert codes(checked(files)) == ["config.architecture"]


def test_check_of_a_wrong_dtype_refuses(checked, files):
    assert codes(checked(files, dtype="bfloat16")) == ["weights.dtype"]


def test_check_of_weights_that_do_not_fit_the_config_refuses_after_the_trial(checked, files):
    config = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(json.dumps({**config, "num_attention_heads": 7}))
    release = checked(files)
    assert release.state == ReleaseState.REFUSED
    assert codes(release) == ["model.unloadable"]
    assert not get_store().contains(release.root)


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**9, "model_type": "albert", "architectures": ["AlbertModel"]},
        {"num_hidden_layers": -1},
        {"num_labels": 10**9},
        {"vocab_size": 10**9},
        {"hidden_size": 10**15},
        {"max_position_embeddings": 10**6},
        {"num_attention_heads": 10**9},
        {"id2label": {str(number): "x" for number in range(2000)}},
        {"model_type": "gpt_neo", "attention_types": [[["global", "local"], 10**9]]},
        {"rope_scaling": {"factor": 1e300}},
    ],
    ids=lambda change: next(reversed(change)),
)
def test_check_of_a_config_with_numbers_that_no_weights_carry_refuses_without_a_trial(
    checked, files, monkeypatch, change
):
    def no_trial(*_):
        raise AssertionError("The trial would hold a worker until its time is over.")

    monkeypatch.setattr("models_registry.services.checking.model_try", no_trial)
    task = "feature-extraction"
    if change.get("model_type") == "gpt_neo":
        task, change = "text-generation", {**change, "architectures": ["GPTNeoForCausalLM"]}
    config = json.loads((files / "config.json").read_text())
    (files / "config.json").write_text(json.dumps({**config, **change}))
    release = checked(files, task=task)
    assert (release.state, set(codes(release))) == (ReleaseState.REFUSED, {"config.number"})
    assert "save_pretrained" in release.refusals[0]["remedy"] and len(release.refusals[0]["found"]) < 200


@pytest.mark.parametrize("times", [1, 6])
def test_check_that_meets_busy_runners_waits_however_often_and_then_succeeds(checked, files, monkeypatch, times):
    class Busy:
        def run(self, *_):
            raise RunnerBusyError("This worker is shutting down. Try again.")

    monkeypatch.setattr("models_registry.intake.trial.runner_pool", Busy)
    release = checked(files)
    for _ in range(times - 1):
        again(release)
    assert (release.state, release.crashes) == (ReleaseState.CHECKING, 0)
    assert "busy" in release.notice
    assert release.check_after <= timezone.now() + timedelta(minutes=10)
    monkeypatch.undo()
    assert again(release).state == ReleaseState.READY


def test_check_counts_crashes_of_the_trial_alone(checked, files, settings, monkeypatch):
    """What the machine was to blame for before must not make the first crash the last one."""
    errors = iter([RunnerBusyError("x"), SandboxUnavailable("x"), BlockMissingError("x")])
    errors = itertools.chain(errors, itertools.repeat(RunnerCrashedError("The process ended.")))

    class Unlucky:
        def run(self, *_):
            raise next(errors)

    monkeypatch.setattr("models_registry.intake.trial.runner_pool", Unlucky)
    release = checked(files)
    states = [again(release).state for _ in range(5)]
    assert states == [ReleaseState.CHECKING] * 4 + [ReleaseState.REFUSED]
    assert (release.crashes, codes(release)) == (3, ["runner.crashed"])


def test_check_without_a_sandbox_leaves_the_release_unlisted_with_a_notice(checked, files, settings):
    from models_registry.runners import runner_pool_close  # noqa: PLC0415

    runner_pool_close()
    settings.SANDBOX_BWRAP = "/nonexistent/bwrap"
    release = checked(files)
    assert release.state == ReleaseState.CHECKING
    assert release.notice.startswith("This site cannot try models at the moment")
    assert release.check_after is not None
    assert not get_store().contains(release.root)


def test_check_that_was_postponed_succeeds_when_the_sandbox_is_back(checked, files, settings):
    from models_registry.runners import runner_pool_close  # noqa: PLC0415

    runner_pool_close()
    found = settings.SANDBOX_BWRAP
    settings.SANDBOX_BWRAP = "/nonexistent/bwrap"
    release = checked(files)
    settings.SANDBOX_BWRAP = found
    Release.objects.update(check_after=None)
    services.release_check(release_id=release.pk)
    release.refresh_from_db()
    assert release.state == ReleaseState.READY


def test_check_is_claimed_by_one_worker_only(checked, files, monkeypatch):
    release = checked(files)
    Release.objects.update(state=ReleaseState.CHECKING)
    runs = []
    monkeypatch.setattr("models_registry.services.checking._check", runs.append)
    services.release_check(release_id=release.pk)
    services.release_check(release_id=release.pk)
    assert len(runs) == 1


def test_submit_of_the_same_files_gives_the_same_release(checked, uploaded, tiny_embedder):
    first = checked(tiny_embedder)
    second = services.release_submit(upload=uploaded(tiny_embedder))
    assert second.pk == first.pk
    assert second.state == ReleaseState.READY
    assert Release.objects.count() == 1


def test_submit_of_refused_files_gives_the_stored_refusal_until_the_tool_chain_changes(
    checked, uploaded, files, monkeypatch
):
    (files / "config.json").unlink()
    first = checked(files)
    second = services.release_submit(upload=uploaded(files))
    assert (second.pk, second.state, codes(second)) == (first.pk, ReleaseState.REFUSED, ["config.missing"])
    monkeypatch.setattr("models_registry.intake.trial.RULES_VERSION", 10**6)
    third = services.release_submit(upload=uploaded(files))
    assert (third.pk, third.state, third.refusals) == (first.pk, ReleaseState.CHECKING, [])


def test_submit_of_files_that_crashed_is_checked_again_after_a_while(checked, uploaded, files):
    crashed = checked(files)
    refusals = [{"path": "", "code": "runner.crashed", "found": "x", "remedy": "y"}]
    Release.objects.update(state=ReleaseState.REFUSED, refusals=refusals, checked_at=timezone.now())
    assert services.release_submit(upload=uploaded(files)).state == ReleaseState.REFUSED
    Release.objects.update(checked_at=timezone.now() - timedelta(minutes=11), crashes=3, attempts=3)
    release = services.release_submit(upload=uploaded(files))
    assert (release.pk, release.state, release.crashes, release.attempts) == (crashed.pk, ReleaseState.CHECKING, 0, 0)


def test_submit_beyond_the_checks_under_way_records_nothing_and_succeeds_later(uploaded, files, settings):
    settings.RELEASE_MAX_CHECKING = 2
    uploads = [uploaded(files, name=f"Model {number}") for number in range(3)]
    first, _ = (services.release_submit(upload=upload) for upload in uploads[:2])
    with pytest.raises(ReleaseTooManyChecksError) as caught:
        services.release_submit(upload=uploads[2])
    assert caught.value.retryable and caught.value.data["limit"] == 2
    assert Release.objects.count() == len(list((settings.UPLOAD_DIR / "staging").iterdir())) == 2
    assert services.release_submit(upload=uploads[0]).pk == first.pk
    assert services.release_submit(upload=uploaded(files, name="Other", publisher=OUTSIDER)).state == "checking"
    services.release_check(release_id=first.pk)
    assert services.release_submit(upload=uploads[2]).state == ReleaseState.CHECKING


def test_check_that_fails_unexpectedly_says_so_and_is_repeated(checked, files, monkeypatch):
    def broken(directory):
        raise OSError("disk on fire")

    monkeypatch.setattr("models_registry.services.checking.release_refusals", broken)
    with pytest.raises(OSError, match="disk on fire"):
        checked(files)
    release = Release.objects.get()
    assert release.state == ReleaseState.CHECKING
    assert "unexpectedly" in release.notice
    assert "fire" not in release.notice
    monkeypatch.undo()
    Release.objects.update(check_after=None)
    services.release_check(release_id=release.pk)
    release.refresh_from_db()
    assert release.state == ReleaseState.READY


def test_check_of_a_model_that_cannot_take_the_example_refuses(checked, files, monkeypatch):
    class Pool:
        def run(self, *_):
            raise InputError("Input 1 is longer than the model reads.")

    monkeypatch.setattr("models_registry.intake.trial.runner_pool", Pool)
    release = checked(files)
    assert (release.state, codes(release)) == (ReleaseState.REFUSED, ["input.invalid"])
