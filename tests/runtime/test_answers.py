import numpy as np
import pytest

from models_registry.runtime import answers
from models_registry.runtime.errors import InputError, OutputInvalidError, RunnerError, RunnerProtocolError


def table(rows, width, value=0.5):
    return {"shape": [rows, width], "data": np.full((rows, width), value, "<f4").tobytes()}


def test_table_becomes_vectors():
    assert answers.outputs("feature-extraction", table(2, 3), count=2, known={}) == [[0.5] * 3] * 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_number_that_is_not_finite_is_output_invalid(value):
    with pytest.raises(OutputInvalidError, match="NaN"):
        answers.outputs("feature-extraction", table(1, 4, value), count=1, known={})


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"shape": [2, 3], "data": b"short"},
        {"shape": [2, 3], "data": "text"},
        {"shape": [2, True], "data": b"xxxx"},
        {"shape": "2x3", "data": b""},
        {"shape": [2, 3, 4], "data": b"x" * 96},
        {"shape": [2], "data": b"x" * 8},
        {"shape": [2, 2.0], "data": b"x" * 16},
    ],
)
def test_table_that_contradicts_itself_is_a_protocol_error(reply):
    with pytest.raises(RunnerProtocolError):
        answers.outputs("feature-extraction", reply, count=2, known={})


@pytest.mark.parametrize("shape", [[1, 3], [3, 3], [2, 0], [2, -1], [2, 2**40]])
def test_table_of_another_size_is_output_invalid(shape):
    with pytest.raises(OutputInvalidError):
        answers.outputs("feature-extraction", {"shape": shape, "data": b""}, count=2, known={})


def test_scores_that_do_not_fit_the_labels_are_output_invalid():
    with pytest.raises(OutputInvalidError, match="4 scores for its 2 labels"):
        answers.outputs("text-classification", table(1, 4), count=1, known={"labels": ["a", "b"]})


@pytest.mark.parametrize(
    "texts",
    [
        None,
        [],
        [{"text": "a", "finish_reason": "stop"}],
        [{"text": 1, "finish_reason": "stop", "output_tokens": 1}],
        [{"text": "a", "finish_reason": "<script>", "output_tokens": 1}],
        [{"text": "a", "finish_reason": "stop", "output_tokens": -1}],
        [{"text": "a", "finish_reason": "stop", "output_tokens": 1, "more": 1}],
    ],
)
def test_texts_of_another_form_are_a_protocol_error(texts):
    with pytest.raises(RunnerProtocolError):
        answers.outputs("text-generation", {"texts": texts}, count=1, known={})


@pytest.mark.parametrize(
    "reply",
    [
        {"input_tokens": 1, "output_tokens": 0},
        {"input_tokens": 1, "output_tokens": 0, "truncated": [5]},
        {"input_tokens": 1, "output_tokens": 0, "truncated": [0, 0, 0]},
        {"input_tokens": -1, "output_tokens": 0, "truncated": []},
        {"input_tokens": True, "output_tokens": 0, "truncated": []},
        {"input_tokens": 2**60, "output_tokens": 0, "truncated": []},
    ],
)
def test_usage_that_cannot_be_right_is_a_protocol_error(reply):
    with pytest.raises(RunnerProtocolError):
        answers.usage(reply, count=2)


@pytest.mark.parametrize(
    "batches", [None, [], [[1, 5]], [[2, 5], [2, 5]], [[2, "5"]], [[2, 0]], [[1, 1, 1], [1, 1, 1]]]
)
def test_batches_that_do_not_add_up_are_a_protocol_error(batches):
    with pytest.raises(RunnerProtocolError):
        answers.batches({"batches": batches}, count=2)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "tpu"},
        {"cpu_capability": "x" * 99},
        {"cpu_capability": "a\nb"},
        {"max_length": "512"},
        {"labels": []},
        {"labels": ["x" * 300]},
        {"labels": [1]},
        {"labels": None},
    ],
)
def test_facts_that_cannot_be_right_are_a_protocol_error(change):
    good = {"device": "cpu", "cpu_capability": "AVX2", "max_length": 512, "labels": ["a"]}
    answers.facts(good, task="text-classification")
    with pytest.raises(RunnerProtocolError):
        answers.facts({**good, **change}, task="text-classification")


def test_failure_shows_no_text_of_the_runner():
    reply = {"kind": "failed", "code": "<b>own code</b>", "reason": "call 555-1234", "message": "pay me"}
    error = answers.failure(reply)
    assert type(error) is RunnerError and error.message == "The model failed on this input."


def test_failure_of_a_long_input_names_position_and_limit():
    reply = {"code": "input.invalid", "reason": "too_long", "position": 1, "max_length": 62}
    error = answers.failure(reply)
    assert isinstance(error, InputError) and "Input 2 is longer than the 62 tokens" in error.message
