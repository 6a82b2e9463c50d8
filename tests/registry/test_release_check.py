"""What a check finds, through the services, with real models in the real sandbox."""

import json
import shutil

import pytest

from models_registry import services
from models_registry.models import Release, ReleaseState
from models_registry.runtime.errors import InputError
from models_registry.storage import get_store
from models_registry.storage.cache import release_fetch


@pytest.fixture
def files(tiny_embedder, tmp_path):
    """A copy of a good model's files, for a test to spoil."""
    return shutil.copytree(tiny_embedder, tmp_path / "files")


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
