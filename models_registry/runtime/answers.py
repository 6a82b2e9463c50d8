"""Reading what a runner sent. The runner may be in the hands of the model it runs: nothing is believed.

Types, shapes, counts and finiteness are checked here; sentences are written here, never by the runner.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from weighhouse.core.errors import WeighhouseError

from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    OutputInvalidError,
    RunnerError,
    RunnerOutOfMemoryError,
    RunnerProtocolError,
)

Message = Mapping[str, Any]

_CAPABILITY = re.compile(r"^[A-Za-z0-9_. ]{1,32}$")
_LABEL_CHARS = 256
_MOST_LABELS = 10_000
_MOST_WIDTH = 65_536
_NOT_FINITE = "The model's answer holds NaN or infinity, so it is no answer. Tell its publisher."
_UNLOADABLE = {
    "weights_missing": "The weights do not fit the configuration: tensors are missing or have another shape. "
    "Export the model again with save_pretrained.",
    "vocabulary": "The tokenizer makes token ids that the model's embedding table does not have. "
    "Ship the tokenizer that the model was trained with.",
}


def facts(reply: Message, *, task: str) -> dict[str, Any]:
    """What a `ready` message says about the loaded model. Raises RunnerProtocolError."""
    device, capability = reply.get("device"), reply.get("cpu_capability")
    if device not in ("cpu", "cuda") or not isinstance(capability, str) or not _CAPABILITY.match(capability):
        raise _forged("its device")
    read: dict[str, Any] = {
        "device": device,
        "cpu_capability": capability,
        "max_length": _count(reply, "max_length", most=1_000_000),
    }
    if task == "text-classification":
        read["labels"] = _labels(reply.get("labels"))
    return read


def failure(reply: Message) -> WeighhouseError:
    """The error that a `failed` message stands for."""
    code, reason = reply.get("code"), reply.get("reason")
    if code == "runner.out_of_memory":
        return RunnerOutOfMemoryError("The model needs more memory than one runner may have.")
    if code == "model.unloadable":
        default = "The release could not be loaded as a model of its task. Check that its files load with transformers."
        return ModelUnloadableError(_UNLOADABLE.get(str(reason), default))
    if code == "output.invalid":
        return OutputInvalidError(_NOT_FINITE)
    if code == "input.invalid":
        return _refused_input(reply)
    return RunnerError("The model failed on this input.")


def outputs(task: str, reply: Message, *, count: int, known: Message) -> list[Any]:
    """One entry per input, of the task's output schema. Raises RunnerProtocolError, OutputInvalidError."""
    if task == "text-generation":
        return _texts(reply.get("texts"), count)
    table = _table(reply, rows=count)
    if task == "feature-extraction":
        vectors: list[Any] = table.tolist()
        return vectors
    labels = known["labels"]
    if table.shape[1] != len(labels):
        raise OutputInvalidError(f"The model gave {table.shape[1]} scores for its {len(labels)} labels.")
    return [
        sorted(
            ({"label": label, "score": score} for label, score in zip(labels, scores, strict=True)),
            key=lambda entry: -entry["score"],
        )
        for scores in table.tolist()
    ]


def usage(reply: Message, *, count: int) -> dict[str, Any]:
    """Token counts and the positions of inputs that were cut. Raises RunnerProtocolError."""
    truncated = reply.get("truncated")
    if not isinstance(truncated, list) or len(truncated) > count:
        raise _forged("its list of cut inputs")
    if not all(type(position) is int and 0 <= position < count for position in truncated):
        raise _forged("its list of cut inputs")
    return {
        "input_tokens": _count(reply, "input_tokens"),
        "output_tokens": _count(reply, "output_tokens"),
        "truncated": truncated,
    }


def batches(reply: Message, *, count: int) -> list[list[int]]:
    """Shapes [rows, tokens] of the batches that were run. Raises RunnerProtocolError."""
    shapes = reply.get("batches")
    if not isinstance(shapes, list) or not 1 <= len(shapes) <= count:
        raise _forged("its batch shapes")
    for shape in shapes:
        if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise _forged("its batch shapes")
    if sum(rows for rows, _ in shapes) != count:
        raise _forged("its batch shapes")
    return shapes


def _table(reply: Message, *, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape, data = reply.get("shape"), reply.get("data")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int for n in shape):
        raise _forged("its shape")
    if shape[0] != rows or not 0 < shape[1] <= _MOST_WIDTH:
        raise OutputInvalidError(f"The model gave {ascii(shape)[:40]} numbers for {rows} inputs.")
    if not isinstance(data, bytes) or len(data) != 4 * shape[0] * shape[1]:
        raise _forged("its numbers")
    table = np.frombuffer(data, dtype="<f4").reshape(shape)
    if not np.isfinite(table).all():
        raise OutputInvalidError(_NOT_FINITE)
    return table


def _texts(texts: Any, count: int) -> list[dict[str, Any]]:
    if not isinstance(texts, list) or len(texts) != count:
        raise _forged("its number of texts")
    read = []
    for entry in texts:
        if not isinstance(entry, dict) or set(entry) != {"text", "finish_reason", "output_tokens"}:
            raise _forged("its texts")
        if not isinstance(entry["text"], str) or entry["finish_reason"] not in ("stop", "length"):
            raise _forged("its texts")
        # A NUL is no text to a database; tokens can spell one.
        read.append(
            {**entry, "text": entry["text"].replace("\0", "\ufffd"), "output_tokens": _count(entry, "output_tokens")}
        )
    return read


def _labels(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not 1 <= len(labels) <= _MOST_LABELS:
        raise _forged("its labels")
    if not all(isinstance(label, str) and len(label) <= _LABEL_CHARS for label in labels):
        raise _forged("its labels")
    return [label.replace("\0", "\ufffd") for label in labels]


def _refused_input(reply: Message) -> InputError:
    position = _count(reply, "position")
    if reply.get("reason") == "no_tokens":
        return InputError(
            f"Input {position + 1} has no token that the model knows. Send other text.", position=position
        )
    longest = _count(reply, "max_length")
    return InputError(
        f"Input {position + 1} is longer than the {longest} tokens that the model reads. "
        "Shorten it, or set truncate to true.",
        position=position,
        max_length=longest,
    )


def _count(reply: Message, name: str, *, most: int = 2**53) -> int:
    value = reply.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise _forged(f"its {name}")
    return value


def _forged(what: str) -> RunnerProtocolError:
    return RunnerProtocolError(f"The runner's answer was refused: {what} cannot be right. The runner was ended.")
