"""One knob of a task: its schema and its check."""

import math
from dataclasses import dataclass
from typing import Any

from models_registry.runtime.errors import InputError
from models_registry.runtime.tasks.words import CLEAN_PATTERN, describe, is_clean

# Where the label goes in a template: once, and no other brace.
_TEMPLATE_PATTERN = r"^[^\u0000{}]*\{\}[^\u0000{}]*$"


@dataclass(frozen=True)
class Parameter:
    """One knob of a task. `kind` is boolean, integer, number, choice, texts or template.

    `max_items` and `max_chars` bound texts. A required one has no default: what the field holds is not used.
    """

    name: str
    kind: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    max_items: int = 4
    max_chars: int = 64
    is_required: bool = False

    def schema(self) -> dict[str, Any]:
        """The parameter's JSON Schema."""
        schema: dict[str, Any] = {"description": self.description}
        if not self.is_required:
            schema["default"] = self.default
        if self.kind == "choice":
            return schema | {"type": "string", "enum": list(self.choices)}
        if self.kind == "template":
            return schema | {"type": "string", "maxLength": self.max_chars, "pattern": _TEMPLATE_PATTERN}
        if self.kind == "texts":
            text = {"type": "string", "minLength": 1, "maxLength": self.max_chars, "pattern": CLEAN_PATTERN}
            return schema | {"type": "array", "items": text, "minItems": self._least, "maxItems": self.max_items}
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
        if self.kind == "template":
            return self._check_template(value)
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
        if not isinstance(value, list) or not self._least <= len(value) <= self.max_items:
            count = f"{self._least} to {self.max_items}" if self._least else f"at most {self.max_items}"
            raise self._refused(f"a list of {count} texts", value)
        for text in value:
            if not isinstance(text, str) or not 1 <= len(text) <= self.max_chars or not is_clean(text):
                raise self._refused(f"texts of 1 to {self.max_chars} characters", text)
        return list(value)

    def _check_template(self, value: Any) -> str:
        is_text = isinstance(value, str) and len(value) <= self.max_chars and is_clean(value)
        if not is_text or value.count("{}") != 1 or value.count("{") != 1 or value.count("}") != 1:
            wanted = f"a text of at most {self.max_chars} characters with {{}} once, and no other brace"
            raise self._refused(wanted, value)
        return str(value)

    @property
    def _least(self) -> int:
        return 1 if self.is_required else 0

    def _refused(self, wanted: str, value: Any) -> InputError:
        return InputError(
            f"The parameter {self.name} must be {wanted}; {describe(value)} came.",
            parameter=self.name,
        )
