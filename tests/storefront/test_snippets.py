"""The program on a model's page, for every task. tests/inference/test_openai.py runs those of OpenAI's client."""

import ast
import dataclasses
import json
import shlex

import pytest

from marketplace.storefront.snippets import snippet_of
from models_registry.runtime.tasks import TASKS, Example

OPENAI = {"feature-extraction", "text-generation"}


@pytest.mark.parametrize("task", sorted(OPENAI))
def test_snippet_of_a_task_of_openai_is_a_program_that_names_the_model(task, settings):
    settings.SITE_URL = "https://models.example"
    text = snippet_of(7, TASKS[task])
    ast.parse(text)
    assert '"https://models.example/v1"' in text and '"wh-7"' in text


@pytest.mark.parametrize("task", sorted(set(TASKS) - OPENAI))
def test_snippet_of_another_task_is_a_command_whose_body_is_the_tasks_example(task):
    spec = TASKS[task]
    words = shlex.split(snippet_of(7, spec))
    body = json.loads(words[words.index("-d") + 1])
    assert (body["model"], body["parameters"]) == ("7", dict(spec.example.parameters))
    assert len(body["inputs"]) == len(spec.example.inputs)


def test_snippet_with_a_quote_or_a_file_stays_a_command_that_can_be_read():
    example = Example(("it's $HOME", "f" * 5000), {})
    spec = dataclasses.replace(TASKS["text-classification"], example=example)
    words = shlex.split(snippet_of(7, spec))
    assert json.loads(words[words.index("-d") + 1])["inputs"] == ["it's $HOME", "..."]
