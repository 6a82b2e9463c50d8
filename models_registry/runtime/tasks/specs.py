"""One task: its inputs, its parameters, its output, its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_registry.runtime.errors import InputError
from models_registry.runtime.explain_limits import MOST_INPUTS
from models_registry.runtime.tasks.inputs import InputKind
from models_registry.runtime.tasks.parameters import Parameter
from models_registry.runtime.tasks.words import describe


@dataclass(frozen=True)
class Example:
    """A request that works, for pages and documentation."""

    inputs: tuple[Any, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TaskSpec:
    """One task. `max_inputs` counts the inputs of one request, `max_reply_bytes` the bytes of one reply.

    `streams` says whether the text comes in pieces while it is written; `joins`, whether calls that wait together may
    share a request: the answer then says, for each input, its tokens and its batch (`TextModel.in_batches`).
    `unexplained` is why the task has no explanations, where it has none.
    """

    name: str
    title: str
    summary: str
    kind: InputKind
    output: str
    output_schema: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    example: Example
    max_inputs: int
    max_reply_bytes: int
    streams: bool = False
    joins: bool = False
    unexplained: str = ""

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of `inputs`: one input, or a list of them."""
        one = self.kind.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": self.max_inputs}]}

    @property
    def parameters_schema(self) -> dict[str, Any]:
        """JSON Schema of `parameters`, which may be left out as a whole where none is required."""
        properties = {parameter.name: parameter.schema() for parameter in self.parameters}
        required = [parameter.name for parameter in self.parameters if parameter.is_required]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return schema | {"required": required} if required else schema

    def validate_inputs(self, inputs: Any) -> list[Any]:
        """The inputs to run in their final form, as a list also where one was given. Raises InputError."""
        given = [inputs] if self.kind.is_one(inputs) else inputs
        if not isinstance(given, list):
            raise InputError(f"inputs must be a list of {self.kind.noun}, or one of them; {describe(inputs)} came.")
        if not 1 <= len(given) <= self.max_inputs:
            raise InputError(
                f"inputs must hold 1 to {self.max_inputs} {self.kind.noun} for {self.name}; {len(given)} came. "
                "Send the rest in further jobs.",
                max_inputs=self.max_inputs,
            )
        return [self.kind.check(value, position) for position, value in enumerate(given)]

    def most_inputs(self, parameters: Mapping[str, Any]) -> int:
        """How many inputs one request with these validated parameters may have."""
        return min(self.max_inputs, MOST_INPUTS) if parameters.get("explain") else self.max_inputs

    def check_together(self, inputs: list[Any], parameters: Mapping[str, Any]) -> None:
        """Whether validated inputs and parameters may be one request. Raises InputError."""
        most = self.most_inputs(parameters)
        if len(inputs) > most:
            raise InputError(
                f"{most} inputs of a request may be explained; {len(inputs)} came. Send the rest in further jobs.",
                max_inputs=most,
            )

    def wire_inputs(self, inputs: list[Any]) -> list[Any]:
        """Validated inputs as a runner gets them: files as bytes."""
        return [self.kind.wire(value) for value in inputs]

    def validate_parameters(self, parameters: Any) -> dict[str, Any]:
        """Every parameter of the task, defaults filled in. Raises InputError."""
        given = {} if parameters is None else parameters
        if not isinstance(given, Mapping):
            raise InputError(f"parameters must be an object; {describe(parameters)} came.")
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name == "explain" and self.unexplained:
                raise InputError(
                    f"{self.name} cannot be explained: {self.unexplained}. Leave out explain.", parameter=name
                )
            if name not in known:
                raise InputError(
                    f"{self.name} has no parameter {describe(name)}. It takes: {', '.join(known)}.",
                    known=list(known),
                )
        for name, parameter in known.items():
            if parameter.is_required and name not in given:
                raise InputError(
                    f"{self.name} needs the parameter {name}: {parameter.description}",
                    parameter=name,
                )
        return {name: known[name].check(given.get(name, known[name].default)) for name in known}
