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


EXPLAINED = {
    "scores": [{"label": "A", "score": 0.9}, {"label": "B", "score": 0.1}],
    "explanation": {
        "method": "integrated_gradients",
        "label": "A",
        "score": 0.9,
        "tokens": [
            {"start": 0, "end": 2, "text": "an", "score": 0.01},
            {"start": 3, "end": 8, "text": "exact", "score": 0.5},
            {"start": 8, "end": 9, "text": "!", "score": -0.2},
        ],
        "baseline": {"token_vector": "zeros", "label": None, "score": 0.6},
        "deletion": {"tokens": 1, "drop": 0.5, "random_drop": 0.1},
        "warnings": ["Mind this."],
    },
}


def test_explanation_marks_the_words_that_the_label_is_due_to():
    (result,) = results_of("text-classification", ["an exact! one"], [EXPLAINED])
    assert result.kind == "explained" and [entry.label for entry in result.scores] == ["A", "B"]
    why = result.explanation
    assert [(cause.text, cause.strength) for cause in why.causes if cause.text] == [
        ("an", 0),
        (" ", 0),
        ("exact", 5),
        ("!", -2),
        (" one", 0),
    ]
    assert "".join(cause.text for cause in why.causes) == "an exact! one"
    assert [cause.text for cause in why.strongest] == ["exact", "!"]
    assert (why.method, why.baseline_label, why.warnings) == ("integrated gradients", None, ["Mind this."])


@pytest.mark.parametrize("missing", ["tokens", "baseline", "deletion", "warnings"])
def test_half_an_explanation_is_shown_as_json(missing):
    half = {name: value for name, value in EXPLAINED["explanation"].items() if name != missing}
    (result,) = results_of("zero-shot-classification", ["an exact! one"], [{**EXPLAINED, "explanation": half}])
    assert result.kind == "json"


def test_explanation_of_an_upload_is_shown_as_json():
    (result,) = results_of("text-classification", [{"upload": "x", "sha256": "y"}], [EXPLAINED])
    assert result.kind == "json"
