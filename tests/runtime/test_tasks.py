import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from models_registry.runtime.errors import InputError
from models_registry.runtime.tasks import TASKS

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
task_specs = pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)


@task_specs
def test_example_of_task_is_valid(task):
    assert task.validate_inputs(list(task.example.inputs)) == list(task.example.inputs)
    assert set(task.validate_parameters(dict(task.example.parameters))) == {knob.name for knob in task.parameters}


@task_specs
def test_schemas_of_task_are_json_schema(task):
    for schema in (task.input_schema, task.parameters_schema, task.output_schema):
        Draft202012Validator.check_schema(json.loads(json.dumps(schema)))


@task_specs
def test_defaults_of_task_satisfy_its_schema(task):
    needed = {knob.name: task.example.parameters[knob.name] for knob in task.parameters if knob.is_required}
    Draft202012Validator(task.parameters_schema).validate(task.validate_parameters(needed))


@task_specs
def test_example_of_task_satisfies_its_schemas(task):
    Draft202012Validator(task.input_schema).validate(list(task.example.inputs))
    Draft202012Validator(task.input_schema).validate(task.example.inputs[0])
    Draft202012Validator(task.parameters_schema).validate(dict(task.example.parameters))


@task_specs
def test_checked_inputs_pass_the_check_again_unchanged(task):
    checked = task.validate_inputs(task.example.inputs[0])
    assert task.validate_inputs(json.loads(json.dumps(checked))) == checked


@task_specs
@given(value=ANYTHING)
def test_anything_as_input_gives_inputs_or_input_error(task, value):
    try:
        checked = task.validate_inputs(value)
    except InputError as error:
        assert error.message.isprintable() and len(error.message) < 400
    else:
        assert checked and json.dumps(checked).encode()
        assert Draft202012Validator(task.input_schema).is_valid(value)


@task_specs
@given(value=ANYTHING)
def test_anything_as_parameters_gives_values_or_input_error(task, value):
    try:
        task.validate_parameters(value)
    except InputError as error:
        assert error.message.isprintable() and len(error.message) < 600


@given(values=st.fixed_dictionaries({}, optional={knob.name: ANYTHING for knob in TASKS["text-generation"].parameters}))
def test_parameters_that_pass_satisfy_the_schema_and_others_do_not(values):
    task = TASKS["text-generation"]
    try:
        task.validate_parameters(values)
    except InputError:
        # The schema cannot name surrogates; all else that is refused, it refuses.
        clean = "\\ud" not in repr(values)
        assert not clean or not Draft202012Validator(task.parameters_schema).is_valid(values)
    else:
        assert Draft202012Validator(task.parameters_schema).is_valid(values)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("a\0b", "NUL"),
        ("half \ud83d pair", "surrogate"),
        ("   \n", "blank"),
        ("", "blank"),
        ([], "0 came"),
        (["ok", 7], "Input 2 must be a text"),
        ("x" * 20_000, "20000 characters"),
        (["x"] * 65, "65 came"),
        ({"text": "x"}, "a dict came"),
        (None, "None came"),
    ],
)
def test_bad_inputs_are_refused_in_a_sentence(inputs, words):
    with pytest.raises(InputError, match=words) as caught:
        TASKS["feature-extraction"].validate_inputs(inputs)
    assert caught.value.code == "input.invalid"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"max_new_tokens": 0}, "from 1 to 1024"),
        ({"max_new_tokens": True}, "True came"),
        ({"max_new_tokens": 1.5}, "whole number"),
        ({"temperature": float("nan")}, "nan came"),
        ({"temperature": 10**400}, "from 0 to 2"),
        ({"seed": -(10**5000)}, "far larger"),
        ({"stop": ["x"] * 5}, "at most 4"),
        ({"stop": [""]}, "1 to 64"),
        ({"sto": []}, "It takes: max_new_tokens"),
        ([], "must be an object"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(parameters, words):
    with pytest.raises(InputError, match=words):
        TASKS["text-generation"].validate_parameters(parameters)


def test_whole_float_as_integer_parameter_is_taken_as_integer():
    taken = TASKS["text-generation"].validate_parameters({"max_new_tokens": 3.0})
    assert taken["max_new_tokens"] == 3 and type(taken["max_new_tokens"]) is int


CHAT = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "Weigh it."}]


@pytest.mark.parametrize("inputs", [CHAT, {"messages": CHAT}, [CHAT], [{"messages": CHAT}]])
def test_chat_in_any_form_is_one_input(inputs):
    task = TASKS["text-generation"]
    assert task.validate_inputs(inputs) == [{"messages": CHAT}]
    assert Draft202012Validator(task.input_schema).is_valid(inputs)


def test_chats_and_texts_may_be_mixed():
    assert TASKS["text-generation"].validate_inputs(["once", CHAT]) == ["once", {"messages": CHAT}]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([[]], "1 to 64 messages"),
        (CHAT * 40, "1 to 64 messages; 80 came"),
        ([{"role": "user"}], "role and content alone"),
        ([{"role": "user", "content": "a", "name": "b"}], "role and content alone"),
        ([{"role": "tool", "content": "a"}], "system, user, assistant"),
        ([{"role": ["user"], "content": "a"}], "a list came"),
        ([{"role": "user", "content": "a\0"}], "A message of input 1 holds a NUL"),
        ([{"role": "user", "content": "\ud83d"}], "surrogate"),
        ([{"role": "user", "content": [{"type": "text"}]}], "must be a text"),
        ([{"role": "user", "content": "x" * 20_000}] * 2, "characters in all"),
        ({"messages": CHAT, "tools": []}, "must be a text"),
    ],
)
def test_bad_chats_are_refused_in_a_sentence(inputs, words):
    with pytest.raises(InputError, match=words):
        TASKS["text-generation"].validate_inputs(inputs)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("a question", "one of them"),
        ({"question": "a"}, "question and context"),
        ({"question": "a", "context": "b", "more": "c"}, "question and context"),
        ({"question": " ", "context": "b"}, "The question of input 1 is blank"),
        ({"question": "a", "context": "b\0"}, "The context of input 1 holds a NUL"),
        ({"question": "a" * 2_000, "context": "b"}, "at most 1024"),
        ([{"question": "a", "context": "b"}, {"question": "a", "context": 7}], "The context of input 2 must be a text"),
    ],
)
def test_bad_pairs_are_refused_in_a_sentence(inputs, words):
    with pytest.raises(InputError, match=words):
        TASKS["question-answering"].validate_inputs(inputs)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "needs the parameter candidate_labels"),
        ({"candidate_labels": []}, "1 to 20 texts"),
        ({"candidate_labels": ["a"] * 21}, "1 to 20 texts"),
        ({"candidate_labels": "a, b"}, "1 to 20 texts"),
        ({"candidate_labels": ["a", "\ud800"]}, "texts of 1 to 200"),
        ({"candidate_labels": ["a"], "hypothesis_template": "no place"}, "{} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{} and {}"}, "{} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{0.__class__} {}"}, "no other brace"),
        ({"candidate_labels": ["a"], "hypothesis_template": 7}, "{} once"),
    ],
)
def test_bad_labels_and_templates_are_refused_in_a_sentence(parameters, words):
    task = TASKS["zero-shot-classification"]
    with pytest.raises(InputError, match=re.escape(words)):
        task.validate_parameters(parameters)
    clean = "\ud800" not in repr(parameters) and "\\ud800" not in repr(parameters)
    assert not clean or not Draft202012Validator(task.parameters_schema).is_valid(parameters)
