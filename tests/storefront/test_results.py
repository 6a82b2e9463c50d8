"""Outputs of a stranger's model, as a page shows them."""

import pytest

from marketplace.storefront.results import results_of


def test_vector_is_shown_with_dimension_length_and_every_number():
    (result,) = results_of("feature-extraction", ["x"], [[3.0, 4.0]])
    assert (result.kind, result.dimension, result.norm, result.text) == ("vector", 2, 5.0, "[3.0,4.0]")


def test_scores_keep_their_order():
    (result,) = results_of("text-classification", ["x"], [[{"label": "A", "score": 0.9}, {"label": "B", "score": 0.1}]])
    assert [entry.label for entry in result.scores] == ["A", "B"]


def test_generated_text_keeps_the_prompt_apart():
    output = {"text": " time", "finish_reason": "length", "output_tokens": 3}
    (result,) = results_of("text-generation", ["Once upon a"], [output])
    assert (result.prompt, result.text, result.finish, result.tokens) == ("Once upon a", " time", "length", 3)


@pytest.mark.parametrize("task", ["feature-extraction", "text-classification", "text-generation", "unheard-of"])
@pytest.mark.parametrize("output", [None, 3, "text", {"label": 1}, [{"score": "x"}], [["a"]]])
def test_output_of_another_form_is_shown_as_json(task, output):
    (result,) = results_of(task, ["x"], [output])
    assert result.kind == "json" or task == "text-classification"
