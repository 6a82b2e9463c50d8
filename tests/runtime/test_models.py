"""What the sandbox computes equals what transformers computes in this process."""

# ruff: noqa: PLC0415 - torch and transformers take seconds to import, so only the tests that compare do it

import time

import numpy as np
import pytest

from models_registry.runtime.errors import InputError
from tests.runtime.support import spec_of

TEXTS = [
    "A weigh house certified goods before they were traded.",
    "good",
    "The scale was exact, and not true; there lived once a model of the house. " * 8,
    "Grüße, 世界, emoji \U0001f600 and\ttabs\nand lines",
]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def torch():
    import torch

    with torch.inference_mode():
        yield torch


def reference_vectors(path, texts, torch, *, normalise=True):
    """Mean pooling as the model cards of sentence models spell it out, one text at a time."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    network = AutoModel.from_pretrained(path, local_files_only=True, dtype=torch.float32).eval()
    vectors = []
    for text in texts:
        encoded = tokenizer(text, return_tensors="pt", truncation=True)
        vector = network(**encoded).last_hidden_state[0].mean(0)
        vectors.append((vector / vector.norm() if normalise else vector).numpy())
    return np.stack(vectors)


def test_minilm_embeddings_equal_transformers(pool, minilm_path, torch):
    result = pool.run(spec_of(minilm_path, "feature-extraction"), TEXTS, {}, 60)
    expected = reference_vectors(minilm_path, TEXTS, torch)
    assert np.abs(np.array(result.outputs) - expected).max() <= TOLERANCE
    assert np.array(result.outputs).shape == (4, 384)


@pytest.mark.parametrize("normalise", [True, False])
def test_tiny_embeddings_equal_transformers(pool, specs, torch, normalise):
    spec = specs["feature-extraction"]
    result = pool.run(spec, TEXTS, {"normalise": normalise}, 60)
    expected = reference_vectors(spec.release_path, TEXTS, torch, normalise=normalise)
    assert np.abs(np.array(result.outputs) - expected).max() <= TOLERANCE


def test_first_token_pooling_equals_transformers(pool, specs, torch):
    from transformers import AutoModel, AutoTokenizer

    spec = specs["feature-extraction"]
    result = pool.run(spec, TEXTS[:1], {"normalise": False, "pooling": "cls"}, 60)
    network = AutoModel.from_pretrained(spec.release_path).eval()
    encoded = AutoTokenizer.from_pretrained(spec.release_path)(TEXTS[0], return_tensors="pt")
    expected = network(**encoded).last_hidden_state[0, 0].numpy()
    assert np.abs(np.array(result.outputs[0]) - expected).max() <= TOLERANCE


def test_scores_equal_the_pipeline_of_transformers(pool, specs, torch):
    from transformers import pipeline

    spec = specs["text-classification"]
    classify = pipeline("text-classification", model=str(spec.release_path), top_k=None)
    for given, expected in zip(pool.run(spec, TEXTS[:2], {}, 60).outputs, classify(TEXTS[:2]), strict=True):
        assert [entry["label"] for entry in given] == [entry["label"] for entry in expected]
        assert np.allclose([e["score"] for e in given], [e["score"] for e in expected], atol=TOLERANCE, rtol=0)


def test_greedy_text_equals_generate_of_transformers(pool, specs, torch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = specs["text-generation"]
    tokenizer = AutoTokenizer.from_pretrained(spec.release_path)
    network = AutoModelForCausalLM.from_pretrained(spec.release_path).eval()
    prompt = tokenizer("once upon a time", return_tensors="pt")
    written = network.generate(
        prompt["input_ids"], attention_mask=prompt["attention_mask"], max_new_tokens=24, do_sample=False
    )
    expected = tokenizer.decode(written[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    result = pool.run(spec, "once upon a time", {"max_new_tokens": 24}, 60)
    assert expected and result.outputs[0]["text"] == expected


def test_sampled_text_depends_on_the_seed_alone(pool, specs):
    spec = specs["text-generation"]
    asked = {"max_new_tokens": 24, "temperature": 1.0, "seed": 7}
    alone = pool.run(spec, "a good house", asked, 60).outputs[0]
    beside = pool.run(spec, ["another text", "a good house"], asked, 60).outputs[1]
    other = pool.run(spec, "a good house", {**asked, "seed": 8}, 60).outputs[0]
    assert alone == beside
    assert alone["text"] != other["text"]


def test_stop_text_ends_and_is_left_out(pool, specs):
    spec = specs["text-generation"]
    whole = pool.run(spec, "once upon a time", {"max_new_tokens": 24}, 60).outputs[0]["text"]
    stop = whole[4:6]
    result = pool.run(spec, "once upon a time", {"max_new_tokens": 24, "stop": [stop]}, 60).outputs[0]
    assert result["text"] == whole[: whole.index(stop)]
    assert result["finish_reason"] == "stop"


def test_prompt_comes_before_the_tokens_that_were_asked_for(pool, specs):
    """The tiny model has 128 positions. What is left of them is written; a prompt without room for 16 is cut."""
    spec, asked = specs["text-generation"], {"max_new_tokens": 1024, "temperature": 1.0, "seed": 3}
    prompts = ["good " * words for words in (1, 12, 100)]
    alone = [pool.run(spec, prompt, asked, 60) for prompt in prompts]
    read = [result.usage["input_tokens"] for result in alone]
    assert read[:2] == [
        pool.run(spec, prompt, {"max_new_tokens": 1}, 60).usage["input_tokens"] for prompt in prompts[:2]
    ]
    assert read[2] == 128 - 16
    assert [result.usage["truncated"] for result in alone] == [[], [], [0]]
    for result, count in zip(alone, read, strict=True):
        is_full = count + result.usage["output_tokens"] == 128
        assert is_full or result.outputs[0]["finish_reason"] == "stop"
    assert pool.run(spec, prompts, asked, 60).outputs == [output for result in alone for output in result.outputs]
    assert pool.run(spec, prompts[1], {**asked, "max_new_tokens": 128 - read[1]}, 60).outputs == alone[1].outputs


def test_prompt_that_may_not_be_cut_is_refused_beside_too_many_tokens(pool, specs):
    asked = {"max_new_tokens": 100, "truncate": False}
    assert pool.run(specs["text-generation"], "good", asked, 60).usage["truncated"] == []
    with pytest.raises(InputError, match="Input 2 and max_new_tokens are together more than the 128 tokens") as caught:
        pool.run(specs["text-generation"], ["good", "good " * 12], asked, 60)
    assert caught.value.data["parameter"] == "max_new_tokens"


def test_result_in_a_batch_equals_the_result_alone(pool, specs):
    spec = specs["feature-extraction"]
    texts = [f"{'good ' * (n % 7 + 1)}house" for n in range(40)]
    together = np.array(pool.run(spec, texts, {}, 60).outputs)
    alone = np.array([pool.run(spec, text, {}, 60).outputs[0] for text in texts])
    assert np.abs(together - alone).max() <= TOLERANCE


def test_long_input_is_cut_and_said_so(pool, specs):
    result = pool.run(specs["feature-extraction"], ["good", "house " * 500], {}, 60)
    assert result.usage == {"input_tokens": 3 + 64, "output_tokens": 0, "truncated": [1]}


def test_largest_request_is_answered(pool, specs):
    texts = [("a " * 8192, "\U0001f600" * 16_384)[n % 2] for n in range(64)]
    result = pool.run(specs["feature-extraction"], texts, {}, 60)
    assert len(result.outputs) == 64 and result.usage["truncated"][:2] == [0, 2]


def test_million_characters_are_refused_before_a_runner_is_asked(pool, specs):
    for task in ("feature-extraction", "text-generation"):
        with pytest.raises(InputError, match=r"[Ii]nput 1|characters"):
            pool.run(specs[task], "a " * 500_000, {}, 60)


def test_runner_that_is_given_a_million_tokens_cuts_them_all_the_same(pool, specs):
    """The host's limit is not all that stands between a text and the network."""
    spec = specs["feature-extraction"]
    pool.run(spec, "good", {}, 60)
    runner = pool._slots[spec.key].runner
    parameters = {"pooling": "mean", "normalise": True, "truncate": True}
    result = runner.run(["a " * 1_000_000], parameters, until=time.monotonic() + 60)
    assert result.usage == {"input_tokens": 64, "output_tokens": 0, "truncated": [0]}
    assert pool.run(spec, "good", {}, 60).timings["load_s"] == 0


def test_fingerprint_names_what_ran(pool, specs):
    fingerprint = pool.run(specs["feature-extraction"], ["good", "a good house"], {}, 60).fingerprint
    assert fingerprint["batches"] == [[2, 5]]
    assert fingerprint["packages"]["torch"].startswith("2.13.0")
    assert fingerprint["isolation"] == pool.plan.isolation
    assert (fingerprint["dtype"], fingerprint["device"], fingerprint["threads"]) == ("float32", "cpu", 1)
