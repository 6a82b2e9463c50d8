"""Releases that intake would refuse, or should have: each gives its code, and the pool goes on."""

import pytest

from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    OutputInvalidError,
    RunnerError,
    RunnerOutOfMemoryError,
)
from tests.fixtures.weights import readable
from tests.runtime.spoil import change_config, change_weights, copied
from tests.runtime.support import spec_of

SLOW = pytest.mark.slow  # a runner's start for one more spelling of the same refusal


@pytest.fixture
def classifier(tiny_classifier, tmp_path):
    """A copy to spoil."""
    return copied(tiny_classifier, tmp_path)


def run(pool, release, text="a good house"):
    return pool.run(spec_of(release, "text-classification"), text, {}, 60)


def test_missing_tensor_is_refused_instead_of_invented(pool, classifier):
    change_weights(classifier, lambda tensors: tensors.pop("classifier.weight"))
    with pytest.raises(ModelUnloadableError, match="tensors are missing") as caught:
        run(pool, classifier)
    assert "classifier.weight" in caught.value.log


def test_tensor_of_another_shape_is_refused(pool, classifier):
    change_weights(
        classifier, lambda tensors: tensors.update({"classifier.bias": tensors["classifier.bias"][:2].copy()})
    )
    with pytest.raises(ModelUnloadableError):
        run(pool, classifier)


def test_weights_of_nan_give_no_answer(pool, classifier):
    change_weights(classifier, lambda tensors: tensors["classifier.weight"].fill(float("nan")))
    with pytest.raises(OutputInvalidError, match="NaN"):
        run(pool, classifier)


def test_logits_of_nan_give_no_text(pool, tiny_generator, tmp_path):
    release = copied(tiny_generator, tmp_path)
    change_weights(release, lambda tensors: tensors["model.norm.weight"].fill(float("nan")))
    with pytest.raises(OutputInvalidError, match="NaN"):
        pool.run(spec_of(release, "text-generation"), "good", {}, 60)


def test_label_that_is_no_text_is_mended(pool, classifier):
    path = classifier / "config.json"
    path.write_text(path.read_text().replace('"NEUTRAL"', '"\\ud800\\u0000"'))
    labels = {entry["label"] for entry in run(pool, classifier).outputs[0]}
    assert labels == {"NEGATIVE", "POSITIVE", "?\ufffd"}


def test_tokenizer_with_ids_beyond_the_vocabulary_is_refused(pool, classifier):
    name = "bert.embeddings.word_embeddings.weight"
    change_weights(classifier, lambda tensors: tensors.update({name: tensors[name][:7].copy()}))
    change_config(classifier, vocab_size=7)
    with pytest.raises(ModelUnloadableError, match="token ids"):
        run(pool, classifier)


@pytest.mark.parametrize(
    "content", ["{", pytest.param("[]", marks=SLOW), pytest.param('{"model_type": 7}', marks=SLOW)]
)
def test_broken_configuration_is_refused(pool, classifier, content):
    (classifier / "config.json").write_text(content)
    with pytest.raises(ModelUnloadableError):
        run(pool, classifier)


@pytest.mark.parametrize("content", [b"", pytest.param(b"\xff" * 64, marks=SLOW)])
def test_broken_weights_are_refused(pool, classifier, content):
    (classifier / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelUnloadableError):
        run(pool, classifier)


def test_release_without_safetensors_is_refused_without_starting_anything(pool, classifier):
    (classifier / "model.safetensors").rename(classifier / "pytorch_model.bin")
    before = pool.pids()
    with pytest.raises(ModelUnloadableError, match=r"no \.safetensors"):
        run(pool, classifier)
    assert pool.pids() == before


def test_code_of_a_release_is_not_run(pool, classifier):
    (classifier / "own.py").write_text("raise SystemExit('OWN CODE RAN')\n")
    readable(classifier)
    change_config(classifier, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    with pytest.raises(ModelUnloadableError) as caught:
        run(pool, classifier)
    assert "OWN CODE RAN" not in caught.value.log


def test_configuration_of_a_giant_is_ended_by_its_memory_cap(pool, classifier):
    change_config(classifier, vocab_size=2**31 - 1, hidden_size=4096)
    with pytest.raises((RunnerOutOfMemoryError, ModelUnloadableError)):
        run(pool, classifier)


def test_file_that_the_runner_may_not_read_is_named_to_the_operator(pool, classifier):
    if pool.plan.way != "setpriv":
        pytest.skip("ONLY A ROOT WORKER'S RUNNERS HAVE A USER OF THEIR OWN: this run is not root's")
    (classifier / "config.json").chmod(0o600)
    with pytest.raises(ModelUnloadableError, match="0644") as caught:
        run(pool, classifier)
    assert caught.value.log.endswith("config.json") and "config.json" not in caught.value.message


def test_unknown_task_or_dtype_is_refused(pool, tiny_classifier):
    with pytest.raises(ModelUnloadableError, match="no task"):
        pool.run(spec_of(tiny_classifier, "image-to-doom"), "x", {}, 10)


def test_long_input_with_truncate_false_is_an_input_error_and_the_runner_lives(pool, specs):
    spec = specs["text-classification"]
    pool.run(spec, "good", {}, 60)
    before = pool.pids()[spec.key]
    with pytest.raises(InputError, match="longer than the 64 tokens"):
        pool.run(spec, "house " * 100, {"truncate": False}, 60)
    assert pool.pids()[spec.key] == before


def test_good_release_runs_after_a_bad_one(pool, classifier, tiny_classifier):
    (classifier / "config.json").write_text("{")
    with pytest.raises(RunnerError):
        run(pool, classifier)
    assert len(run(pool, tiny_classifier).outputs[0]) == 3
