import numpy as np
import pytest

from models_registry.runtime import answers
from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    OutputInvalidError,
    RunnerError,
    RunnerProtocolError,
)


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
    error = answers.failure(reply, count=2)
    assert isinstance(error, InputError) and "Input 2 is longer than the 62 tokens" in error.message


@pytest.mark.parametrize("position", [2, 2**53, -1, True, None, "1"])
def test_refusal_of_an_input_that_was_not_sent_is_a_protocol_error(position):
    reply = {"code": "input.invalid", "reason": "unreadable", "position": position}
    with pytest.raises(RunnerProtocolError, match="its position"):
        answers.failure(reply, count=2)


LABELS = ["O", "B-PER", "I-PER"]
TEXT = "Simon \U0001f600 Stevin"


def read(task, reply, *, inputs=(TEXT,), **parameters):
    known = {"labels": LABELS, "mask_token": "<mask>"}
    return answers.outputs(task, reply, count=len(inputs), known=known, inputs=inputs, parameters=parameters)


def test_entity_is_cut_out_of_the_text_that_was_sent():
    (found,) = read("token-classification", {"entities": [[[1, 0.5, 0, 5], [2, 0.25, 8, 14]]]}, aggregation="none")
    assert found == [
        {"label": "B-PER", "start": 0, "end": 5, "text": "Simon", "score": 0.5},
        {"label": "I-PER", "start": 8, "end": 14, "text": "Stevin", "score": 0.25},
    ]
    ((joined,),) = read("token-classification", {"entities": [[[2, 0.5, 8, 14]]]}, aggregation="simple")
    assert joined["label"] == "PER"


@pytest.mark.parametrize(
    "entities",
    [
        None,
        [],
        [[], []],
        ["text"],
        [[[1, 0.5, 0]]],
        [[[3, 0.5, 0, 5]]],
        [[[-1, 0.5, 0, 5]]],
        [[[True, 0.5, 0, 5]]],
        [[["B-PER", 0.5, 0, 5]]],
        [[[1, 0.5, 5, 0]]],
        [[[1, 0.5, 0, 15]]],
        [[[1, 0.5, -1, 5]]],
        [[[1, 0.5, 0.0, 5]]],
        [[[1, 1, 0, 5]]],
        [[[1, "0.5", 0, 5]]],
        [[[1, 0.5, 0, 5]] * 9000],
    ],
)
def test_entities_that_cannot_be_right_are_a_protocol_error(entities):
    with pytest.raises(RunnerProtocolError):
        read("token-classification", {"entities": entities}, aggregation="none")


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_score_that_is_not_finite_is_output_invalid(score):
    pair = {"question": "q", "context": TEXT}
    for task, reply, inputs in [
        ("token-classification", {"entities": [[[1, score, 0, 5]]]}, (TEXT,)),
        ("question-answering", {"spans": [[score, 0, 5]]}, (pair,)),
        ("fill-mask", {"masks": [[[["a", 1, score]]]]}, (TEXT,)),
    ]:
        with pytest.raises(OutputInvalidError):
            read(task, reply, inputs=inputs, aggregation="none", top_k=5)


@pytest.mark.parametrize(
    "spans", [None, [], [[0.5, 0, 99]], [[0.5, 3, 2]], [[0.5, 0]], [[0.5, 0, 1], [0.5, 0, 1]], [7]]
)
def test_answer_outside_the_context_is_a_protocol_error(spans):
    with pytest.raises(RunnerProtocolError):
        read("question-answering", {"spans": spans}, inputs=({"question": "a" * 200, "context": TEXT},))


def test_impossible_answer_is_empty():
    pair = {"question": "q", "context": TEXT}
    (answer,) = read("question-answering", {"spans": [[0.5, 0, 0]]}, inputs=(pair,))
    assert answer == {"start": 0, "end": 0, "text": "", "score": 0.5}


@pytest.mark.parametrize(
    "masks",
    [
        None,
        [],
        [[[["a", 1, 0.5]] * 3]],
        [[[["a", 1, 0.5]]] * 17],
        [[[["a", -1, 0.5]]]],
        [[[["a", 1.0, 0.5]]]],
        [[[["a" * 300, 1, 0.5]]]],
        [[[[b"a", 1, 0.5]]]],
        [[[["a", 1]]]],
    ],
)
def test_masks_that_cannot_be_right_are_a_protocol_error(masks):
    with pytest.raises(RunnerProtocolError):
        read("fill-mask", {"masks": masks}, top_k=2)


def test_own_labels_are_those_of_the_request():
    reply = {"shape": [1, 2], "data": np.array([[0.25, 0.75]], "<f4").tobytes()}
    assert read("zero-shot-classification", reply, candidate_labels=["a", "b"]) == [
        [{"label": "b", "score": 0.75}, {"label": "a", "score": 0.25}]
    ]
    with pytest.raises(OutputInvalidError, match="2 scores for its 3 labels"):
        read("zero-shot-classification", reply, candidate_labels=["a", "b", "c"])


def test_images_have_their_best_labels_alone():
    (found,) = read("image-classification", table(1, 3), top_k=2)
    assert len(found) == 2
    with pytest.raises(OutputInvalidError, match="4 scores for its 3 labels"):
        read("image-classification", table(1, 4), top_k=2)


@pytest.mark.parametrize("texts", [None, [], ["text"], [{"text": 7}], [{"text": "a", "more": 1}], [{}]])
def test_transcripts_of_another_form_are_a_protocol_error(texts):
    with pytest.raises(RunnerProtocolError):
        read("automatic-speech-recognition", {"texts": texts})


def test_nul_in_a_transcript_is_mended():
    assert read("automatic-speech-recognition", {"texts": [{"text": "a\0b"}]}) == [{"text": "a\ufffdb"}]


def test_several_rows_may_stand_for_one_input_where_the_task_says_so():
    most = answers.rows_most("zero-shot-classification", count=2, parameters={"candidate_labels": ["a", "b", "c"]})
    assert answers.batches({"batches": [[4, 9], [2, 9]]}, count=2, most=most) == [[4, 9], [2, 9]]
    for shapes in ([[1, 9]], [[7, 9]], [[1, 9]] * 7):
        with pytest.raises(RunnerProtocolError):
            answers.batches({"batches": shapes}, count=2, most=most)


@pytest.mark.parametrize("change", [{"mask_token": None}, {"mask_token": "x" * 300}, {"mask_token": 7}])
def test_mask_token_that_cannot_be_right_is_a_protocol_error(change):
    good = {"device": "cpu", "cpu_capability": "AVX2", "max_length": 512, "mask_token": "<mask>"}
    assert answers.facts(good, task="fill-mask")["mask_token"] == "<mask>"
    with pytest.raises(RunnerProtocolError):
        answers.facts({**good, **change}, task="fill-mask")


def test_missing_mask_is_named_as_this_model_names_it():
    error = answers.failure(
        {"code": "input.invalid", "reason": "no_mask", "position": 2}, known={"mask_token": "<mask>"}, count=3
    )
    assert error.message.startswith("Input 3 has no mask") and "<mask>" in error.message


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_chat_template", "no chat template"),
        ("chat_template", "take turns"),
        ("unreadable", "damaged"),
        ("too_many_masks", "more than 16 masks"),
        ("question_too_long", "question of input 1 is longer than 9 tokens"),
        ("labels_too_long", "longer than 9 tokens"),
        ("no_room", "Input 1 and max_new_tokens are together more than the 9 tokens"),
        (["too_long"], "longer than the 9 tokens"),
    ],
)
def test_refused_input_has_a_sentence_of_ours(reason, words):
    reply = {"code": "input.invalid", "reason": reason, "position": 0, "max_length": 9}
    error = answers.failure(reply, task="zero-shot-classification", count=1)
    assert isinstance(error, InputError) and words in error.message


@pytest.mark.parametrize(("task", "count"), [("feature-extraction", 1), ("zero-shot-classification", 0)])
def test_labels_that_nobody_sent_are_no_reason(task, count):
    with pytest.raises(RunnerProtocolError):
        answers.failure({"code": "input.invalid", "reason": "labels_too_long", "max_length": 9}, task=task, count=count)


def entities(found, text="a text", labels=("A", "B")):
    return answers.outputs(
        "token-classification",
        {"entities": [found]},
        count=1,
        known={"labels": list(labels)},
        inputs=[text],
        parameters={"aggregation": "none"},
    )


def test_thousands_of_entities_that_are_each_the_whole_text_are_refused():
    text = "x" * 16_384
    with pytest.raises(RunnerProtocolError, match="its entities"):
        entities([[0, 0.5, 0, len(text)]] * 8192, text)
    assert len(entities([[0, 0.5, place, place + 1] for place in range(1000)], text)[0]) == 1000


class Watched(str):
    """A text that nothing may be cut out of."""

    def __getitem__(self, place):
        pytest.fail("text was cut out of an answer that is refused")


@pytest.mark.parametrize(
    "last",
    [
        [0, 0.5, 16_384 * 9000, 0],  # a length below nothing would make place for all the others
        [0, 0.5, 0, -16_384 * 9000],
        [0, 0.5, 0, 16_385],
        [0, 0.5, "0", 1],
        [0, 0.5, 0],
        "text",
    ],
)
def test_no_text_is_cut_before_every_place_is_checked(last):
    text = Watched("x" * 16_384)
    with pytest.raises(RunnerProtocolError):
        entities([*[[0, 0.5, 0, len(text)]] * 8191, last], text)


@pytest.mark.parametrize(
    "entry", [[], [0, 0.5, 0], {"a": 1}, 7, [0, 0.5, "0", 1], [0, 0.5, None, None], [0, 0.5, 0, []]]
)
def test_entity_of_another_form_is_refused(entry):
    with pytest.raises(RunnerProtocolError):
        entities([entry])


def test_labels_that_are_too_long_together_make_a_model_unloadable():
    ready = {"device": "cpu", "cpu_capability": "AVX2", "max_length": 64, "labels": ["x" * 255] * 2000}
    with pytest.raises(ModelUnloadableError, match="characters in all"):
        answers.facts(ready, task="text-classification")


def test_reason_that_is_nested_deeper_than_python_can_print_is_a_failure_to_load():
    reason: list = []
    for _ in range(3000):
        reason = [reason]
    error = answers.failure({"kind": "failed", "code": "model.unloadable", "reason": reason})
    assert isinstance(error, ModelUnloadableError)


@pytest.mark.parametrize(
    ("mask", "is_shown"),
    [
        ("<mask>", True),
        ("[MASK]", False),
        ("<your licence has lapsed, renew at evil.example>", False),
        ("a\u202eb", False),
    ],
)
def test_mask_token_of_a_publisher_is_shown_only_where_it_is_a_usual_name(mask, is_shown):
    error = answers.failure(
        {"kind": "failed", "code": "input.invalid", "reason": "no_mask", "position": 0},
        known={"mask_token": mask},
        count=1,
    )
    assert ("own name" in error.message) == is_shown and "evil" not in error.message
