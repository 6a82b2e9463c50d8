"""What a request of `/v1/` may ask for. What is not done is refused by name."""

import pytest

from marketplace.inference.openai_api.errors import JobFailedError, ParameterError, error_body_of
from marketplace.inference.openai_api.reading import chat_read, completion_read, embeddings_read
from models_registry.errors import ModelNotFoundError

CHAT = {"model": "wh-1", "messages": [{"role": "user", "content": "x"}]}
COMPLETION = {"model": "wh-1", "prompt": "x"}
EMBEDDING = {"model": "wh-1", "input": "x"}


@pytest.mark.parametrize(
    ("given", "model_id", "release"),
    [
        ("wh-1", 1, None),
        ("1", 1, None),
        (f"wh-{2**256 - 1}", 2**256 - 1, None),
        ("wh-7@0x" + "aB" * 32, 7, "0x" + "aB" * 32),
    ],
)
def test_name_of_a_model_may_be_its_id_and_pin_a_release(given, model_id, release):
    name = embeddings_read({**EMBEDDING, "model": given}).model
    assert (name.given, name.model_id, name.release) == (given, model_id, release)


@pytest.mark.parametrize("given", ["", "wh-", "wh-01", "wh--1", "WH-1", "wh-1@0x12", f"wh-{2**256}", "\u0661", "a\0"])
def test_name_of_no_model_is_refused(given):
    with pytest.raises(ModelNotFoundError):
        embeddings_read({**EMBEDDING, "model": given})


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": 1}, "model"),
        ({"model": None}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "y"}, "suffix"),
        ({"logprobs": 1}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"store": 0}, "store"),
        ({"isolation": "none"}, "isolation"),
        ({"isolation": True}, "isolation"),
        ({"dimensions": 5}, "dimensions"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": [1]}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options"),
        ({"licence": "x"}, "licence"),
        ({"licence": "9" * 90}, "licence"),
        ({"frequency": 1}, "frequency"),
        ({"\ud800": 1}, "\ud800"),
    ],
)
def test_completion_that_asks_for_what_is_not_done_is_refused_by_name(changes, param):
    with pytest.raises(ParameterError) as refused:
        completion_read({**COMPLETION, **changes}, key=None)
    assert refused.value.data["param"] == param
    assert len(refused.value.message) > 20


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ("hello", "messages"),
        (["hello"], "messages[0]"),
        ([{"role": "user"}], "messages[0]"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content"),
        ([{"role": "assistant", "content": "x", "tool_calls": [1]}], "messages[0]"),
    ],
)
def test_chat_with_messages_that_are_not_text_is_refused_by_name(messages, param):
    with pytest.raises(ParameterError) as refused:
        chat_read({**CHAT, "messages": messages}, key=None)
    assert refused.value.data["param"] == param


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"modalities": ["text", "audio"]},
        {"max_tokens": 5, "max_completion_tokens": 6},
    ],
)
def test_chat_that_asks_for_what_is_not_done_is_refused(changes):
    with pytest.raises(ParameterError):
        chat_read({**CHAT, **changes}, key=None)


def test_chat_that_asks_for_nothing_by_its_neutral_values_is_read():
    neutral = {
        "n": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0,
        "logit_bias": {},
        "logprobs": False,
        "response_format": {"type": "text"},
        "tools": [],
        "tool_choice": "none",
        "user": "me",
        "metadata": {"a": "b"},
        "stop": None,
        "seed": None,
    }
    call = chat_read({**CHAT, **neutral, "messages": [{"role": "developer", "content": "x", "name": "me"}]}, key="k")
    assert call.inputs == [{"messages": [{"role": "system", "content": "x"}]}]
    assert (call.parameters["temperature"], call.parameters["stop"], call.parameters["truncate"]) == (1.0, [], False)


@pytest.mark.parametrize(
    ("given", "isolation"), [({}, "shared"), ({"isolation": None}, "shared"), ({"isolation": "dedicated"}, "dedicated")]
)
def test_call_shares_a_runner_unless_it_says_otherwise(given, isolation):
    calls = [completion_read({**COMPLETION, **given}, key=None), chat_read({**CHAT, **given}, key=None)]
    assert {call.isolation for call in [*calls, embeddings_read({**EMBEDDING, **given})]} == {isolation}


@pytest.mark.parametrize(("given", "is_stored"), [({}, True), ({"store": None}, True), ({"store": False}, False)])
def test_call_is_stored_unless_it_says_otherwise(given, is_stored):
    calls = [completion_read({**COMPLETION, **given}, key=None), chat_read({**CHAT, **given}, key=None)]
    assert {call.is_stored for call in [*calls, embeddings_read({**EMBEDDING, **given})]} == {is_stored}


def test_sample_is_the_same_under_the_same_idempotency_key_and_another_without():
    seeds = [completion_read(COMPLETION, key=key).parameters["seed"] for key in ("a", "a", "b", None, None)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 4
    assert completion_read({**COMPLETION, "seed": 9}, key="a").parameters["seed"] == 9


@pytest.mark.parametrize(
    "body", [[], "x", None, {**EMBEDDING, "encoding_format": "int8"}, {**EMBEDDING, "dimensions": 5}]
)
def test_embedding_that_asks_for_what_is_not_done_is_refused(body):
    with pytest.raises(ParameterError):
        embeddings_read(body)


@pytest.mark.parametrize(
    ("error", "words", "param"),
    [
        ({"max_length": 512}, "more than the 512 tokens", "max_tokens"),
        ({"message": "It is 1 to 256."}, "1 to 256", None),
    ],
)
def test_job_that_failed_for_its_tokens_says_so_in_the_midst_of_a_stream_too(error, words, param):
    failed = JobFailedError({"code": "input.invalid", "parameter": "max_new_tokens", **error})
    body = error_body_of(failed)["error"]
    assert words in body["message"] and (body["param"], body["code"]) == (param, "input.invalid")
