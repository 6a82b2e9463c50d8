"""Answers in OpenAI's form."""

import base64
import struct
from collections.abc import Iterator
from typing import Any

import orjson
from weighhouse.core.errors import WeighhouseError

from marketplace.inference import streams
from marketplace.inference.models import Job
from marketplace.inference.openai_api.errors import error_body_of
from marketplace.inference.openai_api.names import model_name
from marketplace.inference.openai_api.reading import Call
from marketplace.inference.openai_api.running import Item, Piece, Result
from models_registry.selectors import ModelSummary

DONE = b"data: [DONE]\n\n"


def model_body(model: ModelSummary) -> dict[str, Any]:
    """A model of the list. `name` and `task` are this site's own members."""
    return {
        "id": model_name(model.model_id),
        "object": "model",
        "created": int(model.published_at.timestamp()),
        "owned_by": model.publisher,
        "name": model.name,
        "task": model.task,
    }


def embeddings_body(call: Call, result: Result) -> dict[str, Any]:
    """One vector per input; in base64 its 32-bit floats, little endian."""
    tokens = result.usage["input_tokens"]
    data = [
        {"object": "embedding", "index": place, "embedding": _packed(vector) if call.is_base64 else vector}
        for place, vector in enumerate(result.outputs)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "calls": result.calls}
    return {"object": "list", "data": data, "model": call.model.given, "usage": usage}


def generation_body(call: Call, job: Job, result: Result) -> dict[str, Any]:
    """A whole answer of a completion or a chat."""
    choices = [
        _choice(call, place, output["text"], finish_reason=output["finish_reason"])
        for place, output in enumerate(result.outputs)
    ]
    kind = "chat.completion" if call.is_chat else "text_completion"
    return {**_head(call, job, kind), "choices": choices, "usage": _usage(result)}


def generation_parts(call: Call, job: Job, items: Iterator[Item]) -> Iterator[bytes]:
    """The same as a stream of chunks. What fails on the way is told in the stream, which then ends without `[DONE]`."""
    if call.is_chat:
        yield _chunk(call, job, [_delta(0, {"role": "assistant", "content": ""})])
    try:
        for item in items:
            if isinstance(item, Piece):
                yield _chunk(call, job, [_piece(call, item)])
            elif isinstance(item, Result):
                yield from _last(call, job, item)
                yield DONE
            else:
                yield streams.HEARTBEAT
    except WeighhouseError as error:
        yield _event(error_body_of(error))


def _last(call: Call, job: Job, result: Result) -> Iterator[bytes]:
    for place, output in enumerate(result.outputs):
        reason = output["finish_reason"]
        choice = _delta(place, {}, reason) if call.is_chat else _choice(call, place, "", finish_reason=reason)
        yield _chunk(call, job, [choice])
    if call.with_usage:
        yield _event({**_head(call, job, _chunk_kind(call)), "choices": [], "usage": _usage(result)})


def _chunk(call: Call, job: Job, choices: list[dict[str, Any]]) -> bytes:
    body = {**_head(call, job, _chunk_kind(call)), "choices": choices}
    return _event({**body, "usage": None} if call.with_usage else body)


def _chunk_kind(call: Call) -> str:
    return "chat.completion.chunk" if call.is_chat else "text_completion"


def _piece(call: Call, piece: Piece) -> dict[str, Any]:
    if call.is_chat:
        return _delta(piece.position, {"content": piece.text})
    return _choice(call, piece.position, piece.text, finish_reason=None)


def _delta(place: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": place, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _choice(call: Call, place: int, text: str, *, finish_reason: str | None) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": text, "refusal": None}} if call.is_chat else {"text": text}
    return {"index": place, **said, "logprobs": None, "finish_reason": finish_reason}


def _head(call: Call, job: Job, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if call.is_chat else "cmpl"
    made = int(job.created_at.timestamp())
    return {"id": f"{prefix}-{job.pk}", "object": kind, "created": made, "model": call.model.given}


def _usage(result: Result) -> dict[str, int]:
    read, written = result.usage["input_tokens"], result.usage["output_tokens"]
    total = read + written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total, "calls": result.calls}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
