"""Releases of the tasks beyond text in, text out: what intake asks of them, and that they run in the trial."""

import json
import shutil

import pytest

from models_registry.errors import FileRefusedError
from models_registry.intake.preprocessors import PREPROCESSOR, PROCESSOR
from models_registry.models import Release, ReleaseState
from models_registry.runtime.tasks import TASKS
from tests.fixtures.task_weights import BUILDERS


def codes(release: Release) -> list[str]:
    return [entry["code"] for entry in release.refusals]


@pytest.fixture
def images(tiny_models, tmp_path):
    """A copy of a good image model, to be spoilt."""
    return shutil.copytree(tiny_models["image-classification"], tmp_path / "files")


@pytest.fixture
def speech(tiny_models, tmp_path):
    return shutil.copytree(tiny_models["automatic-speech-recognition"], tmp_path / "files")


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("task", BUILDERS)
def test_good_model_of_the_task_passes_and_is_tried_with_its_example(checked, tiny_models, task):
    release = checked(tiny_models[task], task=task)
    assert (release.state, release.refusals) == (ReleaseState.READY, [])
    assert release.fingerprint["task"] == task


def test_every_task_of_the_table_has_architectures():
    from models_registry.intake.architectures import ARCHITECTURES  # noqa: PLC0415

    assert set(ARCHITECTURES) == set(TASKS)


def test_image_model_without_preprocessor_is_refused_and_told_how_to_get_one(checked, images):
    (images / PREPROCESSOR).unlink()
    release = checked(images, task="image-classification")
    assert codes(release) == ["preprocessor.missing"]
    assert "save_pretrained" in release.refusals[0]["remedy"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image_processor_type": "Sam2ImageProcessor"}, "preprocessor.type"),
        ({"image_processor_type": None}, "preprocessor.type"),
        ({"image_processor_type": ["ViTImageProcessor"]}, "preprocessor.type"),
        ({"size": {"height": 100_000, "width": 32}}, "preprocessor.number"),
        ({"size": 2**40}, "preprocessor.number"),
        ({"crop_size": {"height": 0, "width": 32}}, "preprocessor.number"),
        ({"image_mean": [1e30, 0, 0]}, "preprocessor.number"),
    ],
)
def test_preprocessor_that_could_do_harm_is_refused(checked, images, changes, code):
    change(images / PREPROCESSOR, **changes)
    assert code in codes(checked(images, task="image-classification"))


def test_preprocessor_that_names_code_of_its_own_is_refused_at_the_door(uploaded, images):
    change(images / PREPROCESSOR, auto_map={"AutoImageProcessor": "own.Processor"})
    with pytest.raises(FileRefusedError) as caught:
        uploaded(images, task="image-classification")
    assert "custom_code" in str(caught.value.data)


def test_section_that_transformers_prefers_is_checked_in_its_place(checked, images):
    section = json.loads((images / PREPROCESSOR).read_text())
    (images / PROCESSOR).write_text(json.dumps({"image_processor": {**section, "size": {"shortest_edge": 9_999}}}))
    release = checked(images, task="image-classification")
    assert [(entry["path"], entry["code"]) for entry in release.refusals] == [(PROCESSOR, "preprocessor.number")]


def test_processor_of_speech_saved_as_one_file_is_accepted(checked, speech):
    section = json.loads((speech / PREPROCESSOR).read_text())
    (speech / PREPROCESSOR).unlink()
    (speech / PROCESSOR).write_text(json.dumps({"processor_class": "Wav2Vec2Processor", "feature_extractor": section}))
    release = checked(speech, task="automatic-speech-recognition")
    assert (release.state, release.refusals) == (ReleaseState.READY, [])


@pytest.mark.parametrize("rate", [0, 1, 10**6, "16000", 16_000.5])
def test_sampling_rate_that_no_recording_has_is_refused(checked, speech, rate):
    change(speech / PREPROCESSOR, sampling_rate=rate)
    assert "preprocessor.number" in codes(checked(speech, task="automatic-speech-recognition"))


def test_speech_model_without_its_letters_is_refused(checked, speech):
    (speech / "vocab.json").unlink()
    release = checked(speech, task="automatic-speech-recognition")
    assert codes(release) == ["tokenizer.missing"]
    assert "vocab.json" in release.refusals[0]["remedy"]


def test_image_of_absurd_size_in_the_configuration_is_refused(checked, images):
    change(images / "config.json", image_size=1 << 20)
    assert codes(checked(images, task="image-classification")) == ["config.number"]


def test_model_without_a_label_of_entailment_is_no_zero_shot_classifier(checked, tiny_classifier):
    release = checked(tiny_classifier, task="zero-shot-classification")
    assert codes(release) == ["model.unloadable"]
    assert "begins with entail" in release.refusals[0]["found"]
