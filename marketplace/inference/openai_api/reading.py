"""Reading the bodies of requests. What this site does not do is refused in a sentence, never left out silently."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.fields import UINT256_MAX
from marketplace.inference.models import Isolation
from marketplace.inference.openai_api.errors import ParameterError
from marketplace.inference.openai_api.names import ModelName, model_name_read
from models_registry.runtime.tasks import TASKS

EMBEDDING_TASK = "feature-extraction"
GENERATION_TASK = "text-generation"
# OpenAI's own default for completions. For a chat it has none; this is the task's.
COMPLETION_TOKENS, CHAT_TOKENS = 16, 64
_STOP_COUNT, _STOP_CHARS = 4, 64

# They change nothing of the result, so that a client may send them.
_IGNORED = frozenset(
    {"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
# The values that ask for nothing. Any other asks for what this site does not do.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
}
_OURS = frozenset({"model", "licence", "store", "isolation"})
_EMBEDDING = _OURS | {"input", "encoding_format", "dimensions"}
_SAMPLING = {"temperature", "top_p", "seed", "stop", "max_tokens", "stream", "stream_options"}
_COMPLETION = _OURS | _SAMPLING | {"prompt"}
_CHAT = _OURS | _SAMPLING | {"messages", "max_completion_tokens"}


@dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, in the words of the native API, and how it wants its answer."""

    model: ModelName
    task: str
    inputs: list[Any]
    parameters: dict[str, Any]
    licence_id: int | None
    is_stream: bool = False
    with_usage: bool = False
    is_base64: bool = False
    is_chat: bool = False
    is_stored: bool = True
    isolation: str = Isolation.SHARED


def embeddings_read(body: Any) -> Call:
    """A call of `/v1/embeddings`. Raises ParameterError, ModelNotFoundError."""
    given = _body(body, _EMBEDDING)
    if given.get("dimensions") is not None:
        raise ParameterError("dimensions cannot be chosen: a model's vectors have one length.", "dimensions")
    encoding = given.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise ParameterError('encoding_format must be "float" or "base64".', "encoding_format")
    return Call(
        model=model_name_read(given.get("model")),
        task=EMBEDDING_TASK,
        inputs=_texts(given.get("input"), "input"),
        parameters={"truncate": False},
        licence_id=_licence(given),
        is_base64=encoding == "base64",
        is_stored=_boolean(given, "store", default=True),
        isolation=_isolation(given),
    )


def completion_read(body: Any, *, key: str | None) -> Call:
    """A call of `/v1/completions`. `key` is the Idempotency-Key. Raises ParameterError, ModelNotFoundError."""
    given = _body(body, _COMPLETION)
    return _generation(given, inputs=_texts(given.get("prompt"), "prompt"), most=COMPLETION_TOKENS, key=key)


def chat_read(body: Any, *, key: str | None) -> Call:
    """A call of `/v1/chat/completions`. Raises ParameterError, ModelNotFoundError."""
    given = _body(body, _CHAT)
    return _generation(given, inputs=[{"messages": _messages(given.get("messages"))}], most=CHAT_TOKENS, key=key)


def _generation(given: Mapping[str, Any], *, inputs: list[Any], most: int, key: str | None) -> Call:
    is_stream = _boolean(given, "stream")
    options = given.get("stream_options") or {}
    if not isinstance(options, dict) or set(options) - {"include_usage", "include_obfuscation"}:
        raise ParameterError("stream_options must be an object that may have include_usage.", "stream_options")
    if options and not is_stream:
        raise ParameterError("stream_options is for streams: set stream to true, or leave it out.", "stream_options")
    return Call(
        model=model_name_read(given.get("model")),
        task=GENERATION_TASK,
        inputs=inputs,
        parameters=_parameters(given, most=most, key=key),
        licence_id=_licence(given),
        is_stream=is_stream,
        with_usage=_boolean(options, "include_usage"),
        is_chat="messages" in given,
        is_stored=_boolean(given, "store", default=True),
        isolation=_isolation(given),
    )


def _body(body: Any, known: frozenset[str] | set[str]) -> dict[str, Any]:
    """The members that say something. Raises ParameterError for one that this call does not know, or cannot do."""
    if not isinstance(body, dict):
        raise ParameterError("The body must be a JSON object.", "")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name in known or name in _IGNORED:
            continue
        if name not in _NEUTRAL:
            raise ParameterError(f"This call has no parameter {ascii(name)[:60]}. Leave it out.", name[:60])
        if not any(value == neutral and type(value) is type(neutral) for neutral in _neutral(name)):
            raise ParameterError(f"This site does not do what {name} asks for. Leave it out.", name)
    return given


def _neutral(name: str) -> tuple[Any, ...]:
    values = _NEUTRAL[name]
    return (*values, *(float(value) for value in values if type(value) is int))


def _texts(value: Any, param: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise ParameterError(f"{param} must be a text or a list of texts, not empty.", param)
    if any(isinstance(text, int | list) for text in texts):
        raise ParameterError(
            f"{param} holds token numbers. Send text: the site runs the model's own tokenizer.",
            param,
        )
    return texts


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise ParameterError("messages must be a list of messages, not empty.", "messages")
    return [_message(message, f"messages[{place}]") for place, message in enumerate(value)]


def _message(message: Any, param: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise ParameterError(f"{param} must be an object with role and content.", param)
    given = {name: value for name, value in message.items() if value is not None and name != "name"}
    if set(given) != {"role", "content"}:
        raise ParameterError(f"{param} must have role and content alone; tools and calls are not done here.", param)
    # The newer word for the same thing.
    role = "system" if given["role"] == "developer" else given["role"]
    if role not in ("system", "user", "assistant"):
        raise ParameterError(f"{param}.role must be system, user or assistant.", f"{param}.role")
    return {"role": role, "content": _content(given["content"], f"{param}.content")}


def _content(content: Any, param: str) -> str:
    """A message's text. Clients may send it in parts."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or not parts:
        raise ParameterError(f"{param} must be a text, or a list of parts of the type text.", param)
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ParameterError(f"{param} has a part that is no text. Images and sound are not read here.", param)
    return "".join(part["text"] for part in parts)


def _parameters(given: Mapping[str, Any], *, most: int, key: str | None) -> dict[str, Any]:
    """Parameters of the task. What is too long is refused and not cut, as callers of this API expect."""
    parameters = {
        "max_new_tokens": _most_tokens(given, default=most),
        "temperature": given.get("temperature", 1.0),
        "top_p": given.get("top_p", 1.0),
        "seed": given.get("seed", _seed(key)),
        "stop": _stops(given.get("stop")),
        "truncate": False,
    }
    for parameter in TASKS[GENERATION_TASK].parameters:
        if parameter.name in given:
            _in_range(given[parameter.name], parameter.name, parameter.minimum, parameter.maximum)
    return parameters


def _most_tokens(given: Mapping[str, Any], *, default: int) -> Any:
    named = [name for name in ("max_completion_tokens", "max_tokens") if name in given]
    if len(named) == 2 and given[named[0]] != given[named[1]]:
        raise ParameterError("max_tokens and max_completion_tokens differ. Send one of them.", "max_completion_tokens")
    if not named:
        return default
    bounds = next(entry for entry in TASKS[GENERATION_TASK].parameters if entry.name == "max_new_tokens")
    _in_range(given[named[0]], named[0], bounds.minimum, bounds.maximum)
    return given[named[0]]


def _in_range(value: Any, name: str, least: float | None, most: float | None) -> None:
    """Say it in the caller's words; the rest is checked with the task."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        if name != "stop":
            raise ParameterError(f"{name} must be a number.", name)
        return
    # So that NaN, which is neither less nor more, is refused too.
    if not ((least is None or value >= least) and (most is None or value <= most)):
        raise ParameterError(f"{name} must be from {least} to {most}.", name)


def _stops(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > _STOP_COUNT:
        raise ParameterError(f"stop must be a text or a list of at most {_STOP_COUNT} texts.", "stop")
    if not all(isinstance(stop, str) and 1 <= len(stop) <= _STOP_CHARS for stop in stops):
        raise ParameterError(f"stop must hold texts of 1 to {_STOP_CHARS} characters.", "stop")
    return stops


def _seed(key: str | None) -> int:
    """A new sample for each call. The same Idempotency-Key is the same call, and so the same sample."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest() if key else secrets.token_bytes(4)
    return int.from_bytes(digest[:4], "big")


def _licence(given: Mapping[str, Any]) -> int | None:
    value = given.get("licence")
    if value is None:
        return None
    text = str(value) if type(value) in (int, str) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > 78 or int(text) > UINT256_MAX:
        raise ParameterError("licence must be the id of a licence, as a decimal string.", "licence")
    return int(text)


def _isolation(given: Mapping[str, Any]) -> str:
    value = given.get("isolation", Isolation.SHARED)
    if value not in Isolation.values:
        raise ParameterError(f"isolation must be one of {', '.join(Isolation.values)}.", "isolation")
    return str(value)


def _boolean(given: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ParameterError(f"{name} must be true or false.", name)
    return value
