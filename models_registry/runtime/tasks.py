"""The table of tasks: what goes in, what may be asked, what comes out. Pure; no model library.

Names are those of the pipeline tasks of transformers. API, pages and intake read this one table;
the schemas are JSON Schema 2020-12 and the validators enforce exactly them, in sentences.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_registry.runtime.errors import InputError

# A text holds something to read and no NUL. Stated in the schema, enforced by `_check_text`.
TEXT_PATTERN = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_VISIBLE = re.compile(r"\S")


@dataclass(frozen=True)
class Parameter:
    """One knob of a task. `kind` is boolean, integer, number, choice or texts."""

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """The parameter's JSON Schema."""
        schema: dict[str, Any] = {"description": self.description, "default": self.default}
        if self.kind == "choice":
            return schema | {"type": "string", "enum": list(self.choices)}
        if self.kind == "texts":
            text = {"type": "string", "minLength": 1, "maxLength": STOP_CHARS, "pattern": "^[^\\u0000]+$"}
            return schema | {"type": "array", "items": text, "maxItems": STOP_COUNT}
        schema["type"] = self.kind
        if self.minimum is not None:
            schema["minimum"] = self.minimum
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        return schema

    def check(self, value: Any) -> Any:
        """The value in its final type. Raises InputError."""
        if self.kind == "boolean":
            if not isinstance(value, bool):
                raise self._refused("true or false", value)
            return value
        if self.kind == "choice":
            if not isinstance(value, str) or value not in self.choices:
                raise self._refused("one of " + ", ".join(self.choices), value)
            return value
        if self.kind == "texts":
            return self._check_texts(value)
        return self._check_number(value)

    def _check_number(self, value: Any) -> int | float:
        wanted = f"{'a whole number' if self.kind == 'integer' else 'a number'} from {self.minimum} to {self.maximum}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refused(wanted, value)
        if isinstance(value, float) and not (math.isfinite(value) and (self.kind == "number" or value.is_integer())):
            raise self._refused(wanted, value)
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            raise self._refused(wanted, value)
        return int(value) if self.kind == "integer" else float(value)

    def _check_texts(self, value: Any) -> list[str]:
        if not isinstance(value, list) or len(value) > STOP_COUNT:
            raise self._refused(f"a list of at most {STOP_COUNT} texts", value)
        for text in value:
            if not isinstance(text, str) or not 1 <= len(text) <= STOP_CHARS or not _is_clean(text):
                raise self._refused(f"texts of 1 to {STOP_CHARS} characters", text)
        return list(value)

    def _refused(self, wanted: str, value: Any) -> InputError:
        return InputError(
            f"The parameter {self.name} must be {wanted}; {_describe(value)} came.",
            parameter=self.name,
        )


STOP_COUNT = 4
STOP_CHARS = 64
_TRUNCATE = Parameter("truncate", "boolean", True, "Cut an input that is longer than the model reads, and say so.")


@dataclass(frozen=True)
class Example:
    """A request that works, for pages and documentation."""

    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TaskSpec:
    """One task. Limits count characters of one text, texts of one request, bytes of one reply."""

    name: str
    title: str
    summary: str
    output: str
    output_schema: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    example: Example
    max_inputs: int
    max_input_chars: int
    max_reply_bytes: int

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of `inputs`: one text, or a list of them."""
        text = {"type": "string", "minLength": 1, "maxLength": self.max_input_chars, "pattern": TEXT_PATTERN}
        return {"oneOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": self.max_inputs}]}

    @property
    def parameters_schema(self) -> dict[str, Any]:
        """JSON Schema of `parameters`, which may be left out as a whole."""
        properties = {parameter.name: parameter.schema() for parameter in self.parameters}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def validate_inputs(self, inputs: Any) -> list[str]:
        """The texts to run, as a list also where one text was given. Raises InputError."""
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, list):
            raise InputError(f"inputs must be a text or a list of texts; {_describe(inputs)} came.")
        if not 1 <= len(texts) <= self.max_inputs:
            raise InputError(
                f"inputs must hold 1 to {self.max_inputs} texts for {self.name}; {len(texts)} came. "
                "Send the rest in further jobs.",
                max_inputs=self.max_inputs,
            )
        for position, text in enumerate(texts):
            self._check_text(text, position)
        return list(texts)

    def validate_parameters(self, parameters: Any) -> dict[str, Any]:
        """Every parameter of the task, defaults filled in. Raises InputError."""
        given = {} if parameters is None else parameters
        if not isinstance(given, Mapping):
            raise InputError(f"parameters must be an object; {_describe(parameters)} came.")
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise InputError(
                    f"{self.name} has no parameter {_describe(name)}. It takes: {', '.join(known)}.",
                    known=list(known),
                )
        return {name: known[name].check(given.get(name, known[name].default)) for name in known}

    def _check_text(self, text: Any, position: int) -> None:
        where = f"Input {position + 1}"
        if not isinstance(text, str):
            raise InputError(f"{where} must be a text; {_describe(text)} came.", position=position)
        if len(text) > self.max_input_chars:
            raise InputError(
                f"{where} has {len(text)} characters; at most {self.max_input_chars} are accepted. Split it.",
                position=position,
                max_input_chars=self.max_input_chars,
            )
        if not _is_clean(text):
            raise InputError(
                f"{where} holds a NUL or half of a surrogate pair, which is not text. Remove it.", position=position
            )
        if not _VISIBLE.search(text):
            raise InputError(f"{where} is blank. Send some text.", position=position)


def _is_clean(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _describe(value: Any) -> str:
    """A value in a message: short, printable whatever it holds."""
    if isinstance(value, int) and abs(value) > 2**64:
        return "a far larger number"  # writing out a huge one takes long, or fails
    if isinstance(value, str):
        return ascii(value[:80])[:80]
    if isinstance(value, int | float | bool) or value is None:
        return ascii(value)[:80]
    return f"a {type(value).__name__}"


_LABEL_SCORE = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    "required": ["label", "score"],
}
_GENERATION = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "finish_reason": {"enum": ["stop", "length"]},
        "output_tokens": {"type": "integer"},
    },
    "required": ["text", "finish_reason", "output_tokens"],
}

FEATURE_EXTRACTION = TaskSpec(
    name="feature-extraction",
    title="Embeddings",
    summary="Turns each text into one vector, so that texts of like meaning lie close together.",
    output="One vector of fp32 numbers per input.",
    output_schema={"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    parameters=(
        Parameter(
            "pooling",
            "choice",
            "mean",
            "How token vectors become one: mean over the text, or the first token's.",
            choices=("mean", "cls"),
        ),
        Parameter("normalise", "boolean", True, "Scale each vector to length 1."),
        _TRUNCATE,
    ),
    example=Example(("A weigh house certified goods before they were traded.",), {"normalise": True}),
    max_inputs=64,
    max_input_chars=16_384,
    max_reply_bytes=8 * 1024 * 1024,
)

TEXT_CLASSIFICATION = TaskSpec(
    name="text-classification",
    title="Classification",
    summary="Gives each text a score for every label that the model knows.",
    output="Per input, every label with its score, highest first.",
    output_schema={"type": "array", "items": {"type": "array", "items": _LABEL_SCORE}},
    parameters=(_TRUNCATE,),
    example=Example(("The delivery was quick and the scales are exact.",), {}),
    max_inputs=64,
    max_input_chars=16_384,
    max_reply_bytes=2 * 1024 * 1024,
)

TEXT_GENERATION = TaskSpec(
    name="text-generation",
    title="Text generation",
    summary="Continues each text.",
    output="Per input, the continuation without the prompt, and why it ended.",
    output_schema={"type": "array", "items": _GENERATION},
    parameters=(
        Parameter("max_new_tokens", "integer", 64, "Most tokens to write.", minimum=1, maximum=1024),
        Parameter(
            "temperature",
            "number",
            0.0,
            "0 takes the likeliest token, and so does anything below 0.01; above, tokens are sampled.",
            0,
            2,
        ),
        Parameter("top_p", "number", 1.0, "Sample among the likeliest tokens of this total probability.", 0.01, 1),
        Parameter("seed", "integer", 0, "The same seed gives the same sample.", 0, 2**32 - 1),
        Parameter("stop", "texts", [], "End before the first of these texts."),
        _TRUNCATE,
    ),
    example=Example(("Once upon a time",), {"max_new_tokens": 32}),
    max_inputs=8,
    max_input_chars=32_768,
    max_reply_bytes=1024 * 1024,
)

TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in (FEATURE_EXTRACTION, TEXT_CLASSIFICATION, TEXT_GENERATION)}
