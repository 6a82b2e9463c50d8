"""What a program says to run a model: shown on the model's page, to be copied. Nothing in it is a publisher's text."""

import json
from typing import Any

from django.conf import settings

from marketplace.inference.openai_api.names import model_name
from models_registry.runtime.tasks import TaskSpec

_LONGEST = 300
_HEAD = """from openai import OpenAI

client = OpenAI(base_url="{site}/v1", api_key="wh_...")
"""
_EMBEDDINGS = """answer = client.embeddings.create(model="{name}", input={inputs})
print(answer.data[0].embedding)
"""
_GENERATION = """# A model with a chat template answers client.chat.completions.create(messages=[...]) as well.
stream = client.completions.create(model="{name}", prompt={prompt}, max_tokens=64, stream=True)
for chunk in stream:
    print(chunk.choices[0].text, end="", flush=True)
"""
_NATIVE = """curl -s {site}/api/v1/jobs -H "Authorization: Bearer wh_..." -H "Content-Type: application/json" \\
     -H "Prefer: wait=30" -d '{body}'
"""


def snippet_of(model_id: int, spec: TaskSpec) -> str:
    """The task's own example: by OpenAI's client where its dialect has the task, else by the native API."""
    name, inputs = model_name(model_id), list(spec.example.inputs)
    head = _HEAD.format(site=settings.SITE_URL)
    if spec.name == "feature-extraction":
        return head + _EMBEDDINGS.format(name=name, inputs=json.dumps(inputs))
    if spec.name == "text-generation":
        return head + _GENERATION.format(name=name, prompt=json.dumps(inputs[0]))
    body = {"model": str(model_id), "inputs": _shortened(inputs), "parameters": dict(spec.example.parameters)}
    # Within single quotes a shell takes everything as it is, but the quote.
    return _NATIVE.format(site=settings.SITE_URL, body=json.dumps(body).replace("'", "\\u0027"))


def _shortened(value: Any) -> Any:
    """An example without what nobody would read: a file in base64."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else "..."
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    return [_shortened(inner) for inner in value] if isinstance(value, list | tuple) else value
