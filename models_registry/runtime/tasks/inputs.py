"""The kinds of input: a text, a chat, a pair of texts, a file. Each has a schema, a check and a form on the wire.

A checked input is in its final form, which passes the check again and gives itself: it is kept and checked once more
where it runs.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from models_registry.runtime.errors import InputError
from models_registry.runtime.media import MediaError
from models_registry.runtime.tasks.words import TEXT_PATTERN, describe, is_clean, is_visible

MAX_MESSAGES = 64
ROLES = ("system", "user", "assistant")


class InputKind(Protocol):
    """What one input of a task is. Immutable. `noun` names several of them in a sentence."""

    @property
    def noun(self) -> str: ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema of one input."""

    def is_one(self, inputs: Any) -> bool:
        """Whether a request's `inputs` are one input rather than a list."""

    def check(self, value: Any, position: int) -> Any:
        """The input in its final form. Raises InputError."""

    def wire(self, value: Any) -> Any:
        """The final form as the runner gets it."""


@dataclass(frozen=True)
class TextInput:
    """One text of at most `max_chars` characters."""

    max_chars: int
    noun: str = "texts"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.max_chars, "pattern": TEXT_PATTERN}

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, str)

    def check(self, value: Any, position: int) -> str:
        return text_check(value, f"Input {position + 1}", max_chars=self.max_chars, position=position)

    def wire(self, value: Any) -> Any:
        return value


@dataclass(frozen=True)
class ChatInput(TextInput):
    """One text, or the messages of a chat: a list of `{role, content}`, or `{"messages": [...]}`, the final form."""

    noun: str = "texts or chats"

    def schema(self) -> dict[str, Any]:
        message = {
            "type": "object",
            "properties": {"role": {"enum": list(ROLES)}, "content": super().schema()},
            "required": ["role", "content"],
            "additionalProperties": False,
        }
        messages = {"type": "array", "items": message, "minItems": 1, "maxItems": MAX_MESSAGES}
        named = {
            "type": "object",
            "properties": {"messages": messages},
            "required": ["messages"],
            "additionalProperties": False,
        }
        return {"anyOf": [super().schema(), messages, named]}

    def is_one(self, inputs: Any) -> bool:
        if isinstance(inputs, str | dict):
            return True
        return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict) and "role" in inputs[0]

    def check(self, value: Any, position: int) -> Any:
        if isinstance(value, dict) and set(value) == {"messages"}:
            value = value["messages"]
        if not isinstance(value, list):
            return super().check(value, position)
        where = f"Input {position + 1}"
        if not 1 <= len(value) <= MAX_MESSAGES:
            raise InputError(
                f"{where} must hold 1 to {MAX_MESSAGES} messages; {len(value)} came.",
                position=position,
            )
        messages = [self._message(message, where, position) for message in value]
        if sum(len(message["content"]) for message in messages) > self.max_chars:
            raise InputError(
                f"The messages of input {position + 1} have more than {self.max_chars} characters in all. "
                "Leave out the oldest.",
                position=position,
                max_input_chars=self.max_chars,
            )
        return {"messages": messages}

    def _message(self, message: Any, where: str, position: int) -> dict[str, str]:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise InputError(f"A message of {where.lower()} must have role and content alone.", position=position)
        if not isinstance(message["role"], str) or message["role"] not in ROLES:
            raise InputError(
                f"A message's role must be one of {', '.join(ROLES)}; {describe(message['role'])} came.",
                position=position,
            )
        where = f"A message of {where.lower()}"
        content = text_check(message["content"], where, max_chars=self.max_chars, position=position)
        return {"role": message["role"], "content": content}


@dataclass(frozen=True)
class PairInput:
    """An object of named texts. `fields` maps each name to its most characters."""

    fields: tuple[tuple[str, int], ...]
    noun: str = "objects"

    def schema(self) -> dict[str, Any]:
        names = [name for name, _ in self.fields]
        return {
            "type": "object",
            "properties": {name: TextInput(most).schema() for name, most in self.fields},
            "required": names,
            "additionalProperties": False,
        }

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, dict)

    def check(self, value: Any, position: int) -> dict[str, str]:
        names = [name for name, _ in self.fields]
        if not isinstance(value, dict) or set(value) != set(names):
            raise InputError(
                f"Input {position + 1} must be an object with {' and '.join(names)}; {describe(value)} came.",
                position=position,
            )
        return {
            name: text_check(value[name], f"The {name} of input {position + 1}", max_chars=most, position=position)
            for name, most in self.fields
        }

    def wire(self, value: Any) -> Any:
        return value


@dataclass(frozen=True)
class FileInput:
    """A file as `{"data": base64}`. `inspect` reads its head and raises MediaError; `accepts` are media types."""

    max_bytes: int
    accepts: tuple[str, ...]
    inspect: Callable[[bytes], object]
    noun: str = "files"

    def schema(self) -> dict[str, Any]:
        data = {
            "type": "string",
            "contentEncoding": "base64",
            "description": f"A file of at most {self.max_bytes} bytes: {', '.join(self.accepts)}.",
            "minLength": 4,
            "maxLength": -(-self.max_bytes // 3) * 4,
        }
        return {"type": "object", "properties": {"data": data}, "required": ["data"], "additionalProperties": False}

    def is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, dict)

    def check(self, value: Any, position: int) -> dict[str, str]:
        where = f"Input {position + 1}"
        if not isinstance(value, dict) or set(value) != {"data"} or not isinstance(value["data"], str):
            raise InputError(
                f'{where} must be {{"data": "..."}} with the file in base64; {describe(value)} came.', position=position
            )
        if len(value["data"]) > -(-self.max_bytes // 3) * 4:
            raise self._too_large(where, len(value["data"]) // 4 * 3, position)
        try:
            data = base64.b64decode(value["data"].encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise InputError(f"{where} is not base64 (RFC 4648, with padding).", position=position) from error
        if len(data) > self.max_bytes:
            raise self._too_large(where, len(data), position)
        try:
            self.inspect(data)
        except MediaError as error:
            raise InputError(f"{where} {error}", position=position) from error
        return {"data": value["data"]}

    def wire(self, value: Any) -> Any:
        return base64.b64decode(value["data"])

    def _too_large(self, where: str, size: int, position: int) -> InputError:
        return InputError(
            f"{where} has {size} bytes; at most {self.max_bytes} are accepted. Make the file smaller.",
            position=position,
            max_bytes=self.max_bytes,
        )


def text_check(text: Any, where: str, *, max_chars: int, position: int) -> str:
    """The text. `where` begins the sentence that refuses it. Raises InputError."""
    if not isinstance(text, str):
        raise InputError(f"{where} must be a text; {describe(text)} came.", position=position)
    if len(text) > max_chars:
        raise InputError(
            f"{where} has {len(text)} characters; at most {max_chars} are accepted. Split it.",
            position=position,
            max_input_chars=max_chars,
        )
    if not is_clean(text):
        raise InputError(
            f"{where} holds a NUL or half of a surrogate pair, which is not text. Remove it.", position=position
        )
    if not is_visible(text):
        raise InputError(f"{where} is blank. Send some text.", position=position)
    return text
