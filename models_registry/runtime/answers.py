"""Reading what a runner sent. The runner may be in the hands of the model it runs: nothing is believed.

Types, shapes, counts and finiteness are checked here; sentences are written here, never by the runner.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from weighhouse.core.errors import WeighhouseError

from models_registry.runtime import explanations, replies
from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    OutputInvalidError,
    RunnerError,
    RunnerOutOfMemoryError,
)
from models_registry.runtime.replies import Message

_MASK_NAME = re.compile(r"[\[<]?[A-Za-z_]{1,16}[\]>]?")
_CAPABILITY = re.compile(r"^[A-Za-z0-9_. ]{1,32}$")
_LABEL_CHARS = 256
_MOST_LABELS = 10_000
# Of all labels together: an answer repeats them for each input.
_LABELS_CHARS = 256 * 1024
_MOST_WIDTH = 65_536
_UNLOADABLE = {
    "weights_missing": "The weights do not fit the configuration: tensors are missing or have another shape. "
    "Export the model again with save_pretrained.",
    "vocabulary": "The tokenizer makes token ids that the model's embedding table does not have. "
    "Ship the tokenizer that the model was trained with.",
    "no_offsets": "The tokenizer does not say where its tokens stand in a text. Ship a tokenizer.json.",
    "no_mask_token": "The tokenizer has no mask token. Ship the tokenizer that the model was trained with.",
    "no_entailment": "No label of the model begins with entail, so it cannot judge labels of others. "
    "Name the labels in config.json, or publish it for text-classification.",
    "sampling_rate": "The model's sampling rate must lie between 8000 and 48000. Mend preprocessor_config.json.",
}
# Sentences that go on from "Input 1 ".
_REFUSED = {
    "unexplained": "cannot be explained: the model's tokens do not say where they stand in the text, or its network "
    "reads a text more than once. Run it without explain.",
    "no_tokens": "has no token that the model knows. Send other text.",
    "unreadable": "could not be decoded: the file is damaged. Save it again.",
    "no_chat_template": "is a chat, and this model has no chat template. Send a text that it continues.",
    "chat_template": "was refused by the model's chat template. Many want user and assistant to take turns, "
    "and some know no system message.",
}
_MASKS = 16
_WINDOWS = 128
_ENTITIES = 8192
# Some tokenizers give each of the bytes of a character all of its place.
_TIMES_THE_TEXT = 8
_LABELLED = frozenset({"text-classification", "token-classification", "image-classification"})


def facts(reply: Message, *, task: str) -> dict[str, Any]:
    """What a `ready` message says about the loaded model. Raises RunnerProtocolError."""
    device, capability = reply.get("device"), reply.get("cpu_capability")
    if device not in ("cpu", "cuda") or not isinstance(capability, str) or not _CAPABILITY.match(capability):
        raise replies.forged("its device")
    read: dict[str, Any] = {
        "device": device,
        "cpu_capability": capability,
        "max_length": replies.count_of(reply, "max_length", most=1_000_000),
    }
    if task in _LABELLED:
        read["labels"] = _labels(reply.get("labels"))
    if task == "fill-mask":
        read["mask_token"] = replies.short_text(reply.get("mask_token"), "its mask token")
    return read


def failure(reply: Message, *, task: str = "", known: Message | None = None, count: int = 0) -> WeighhouseError:
    """The error that a `failed` message stands for.

    `known` are the facts of the loaded model, where there are any; `count` is how many inputs it was asked about.
    Raises RunnerProtocolError where an input is refused that was not sent, or labels of another task.
    """
    code, reason = reply.get("code"), reply.get("reason")
    if code == "runner.out_of_memory":
        return RunnerOutOfMemoryError("The model needs more memory than one runner may have.")
    if code == "model.unloadable":
        default = "The release could not be loaded as a model of its task. Check that its files load with transformers."
        return ModelUnloadableError(_UNLOADABLE.get(reason if isinstance(reason, str) else "", default))
    if code == "output.invalid":
        return OutputInvalidError(replies.NOT_FINITE)
    if code == "input.invalid":
        if reason == "labels_too_long" and (task != "zero-shot-classification" or count == 0):
            raise replies.forged("its reason")
        return _refused_input(reply, known or {}, count)
    return RunnerError("The model failed on this input.")


@dataclass(frozen=True)
class _Asked:
    """What the runner was asked, against which its answer is read."""

    count: int
    known: Message
    inputs: Sequence[Any]
    parameters: Message


def outputs(
    task: str,
    reply: Message,
    *,
    count: int,
    known: Message,
    inputs: Sequence[Any] = (),
    parameters: Message | None = None,
) -> list[Any]:
    """One entry per input, of the task's output schema. Raises RunnerProtocolError, OutputInvalidError.

    `inputs` and `parameters` are the validated ones: places are checked against the text, labels are the request's.
    """
    return _READERS[task](reply, _Asked(count, known, inputs, parameters or {}))


def _vectors(reply: Message, asked: _Asked) -> list[Any]:
    vectors: list[Any] = _table(reply, rows=asked.count).tolist()
    return vectors


def _scores(reply: Message, asked: _Asked) -> list[Any]:
    return _explained(reply, asked, asked.known["labels"])


def _best_scores(reply: Message, asked: _Asked) -> list[Any]:
    return [entries[: asked.parameters["top_k"]] for entries in _scores(reply, asked)]


def _own_scores(reply: Message, asked: _Asked) -> list[Any]:
    return _explained(reply, asked, asked.parameters["candidate_labels"])


def _explained(reply: Message, asked: _Asked, labels: Sequence[str]) -> list[Any]:
    """The scores of each input, and why, where that was asked for."""
    scores = _ranked(_table(reply, rows=asked.count), labels)
    if not asked.parameters.get("explain"):
        return scores
    read = []
    entries = replies.entries(reply, "explanations", asked.count)
    for text, ranked, entry in zip(asked.inputs, scores, entries, strict=True):
        explanation = explanations.read(entry, text, labels, method=asked.parameters["explain_method"])
        # Of two labels that score alike either may be meant, and of no others.
        if not any(best["label"] == explanation["label"] and best["score"] == ranked[0]["score"] for best in ranked):
            raise replies.forged("its explained label")
        read.append({"scores": ranked, "explanation": explanation})
    return read


def _ranked(table: np.ndarray[Any, np.dtype[np.float32]], labels: Sequence[str]) -> list[Any]:
    """Per row, each label with its score, highest first."""
    if table.shape[1] != len(labels):
        raise OutputInvalidError(f"The model gave {table.shape[1]} scores for its {len(labels)} labels.")
    return [
        sorted(
            ({"label": label, "score": score} for label, score in zip(labels, scores, strict=True)),
            key=lambda entry: -entry["score"],
        )
        for scores in table.tolist()
    ]


def _entities(reply: Message, asked: _Asked) -> list[Any]:
    read = []
    for text, found in zip(asked.inputs, replies.entries(reply, "entities", asked.count), strict=True):
        entries = _bounded(found, text)
        joined = asked.parameters["aggregation"] == "simple"
        read.append([_entity(entry, text, asked.known["labels"], joined=joined) for entry in entries])
    return read


def _bounded(found: Any, text: str) -> list[list[Any]]:
    """Entities that lie in the text and together are not much longer than it.

    All of them before any text is cut out: thousands that are each the whole text would fill the host's memory, and
    so would those before a last one that is refused.
    """
    entries = [
        replies.items(entry, "its entities", length=4) for entry in replies.items(found, "its entities", most=_ENTITIES)
    ]
    total = 0
    for _, _, start, end in entries:
        replies.check_span(start, end, text)
        total += end - start
    if total > _TIMES_THE_TEXT * len(text):
        raise replies.forged("its entities")
    return entries


def _entity(entry: list[Any], text: str, labels: Sequence[str], *, joined: bool) -> dict[str, Any]:
    number, score, start, end = entry
    if type(number) is not int or not 0 <= number < len(labels):
        raise replies.forged("its entities")
    # Of a joined entity, B-PER and I-PER are both PER.
    label = labels[number].split("-", 1)[-1] if joined else labels[number]
    return {"label": label, **replies.span(score, start, end, text)}


def _answers(reply: Message, asked: _Asked) -> list[Any]:
    read = []
    for pair, entry in zip(asked.inputs, replies.entries(reply, "spans", asked.count), strict=True):
        score, start, end = replies.items(entry, "its answers", length=3)
        read.append(replies.span(score, start, end, pair["context"]))
    return read


def _masks(reply: Message, asked: _Asked) -> list[Any]:
    return [
        [
            [_token(entry) for entry in replies.items(mask, "its tokens", most=asked.parameters["top_k"])]
            for mask in replies.items(masks, "its masks", most=_MASKS)
        ]
        for masks in replies.entries(reply, "masks", asked.count)
    ]


def _token(entry: Any) -> dict[str, Any]:
    text, token, score = replies.items(entry, "its tokens", length=3)
    if type(token) is not int or not 0 <= token < 2**31:
        raise replies.forged("its tokens")
    return {"text": replies.short_text(text, "its tokens"), "token": token, "score": replies.number(score)}


def _continuations(reply: Message, asked: _Asked) -> list[Any]:
    return _texts(reply.get("texts"), asked.count)


def _transcripts(reply: Message, asked: _Asked) -> list[Any]:
    read = []
    for entry in replies.entries(reply, "texts", asked.count):
        if not isinstance(entry, dict) or set(entry) != {"text"} or not isinstance(entry["text"], str):
            raise replies.forged("its texts")
        read.append({"text": entry["text"].replace("\0", "\ufffd")})
    return read


_READERS: dict[str, Callable[[Message, _Asked], list[Any]]] = {
    "feature-extraction": _vectors,
    "text-classification": _scores,
    "token-classification": _entities,
    "fill-mask": _masks,
    "question-answering": _answers,
    "zero-shot-classification": _own_scores,
    "text2text-generation": _continuations,
    "text-generation": _continuations,
    "image-classification": _best_scores,
    "automatic-speech-recognition": _transcripts,
}


def usage(reply: Message, *, count: int) -> dict[str, Any]:
    """Token counts and the positions of inputs that were cut. Raises RunnerProtocolError."""
    truncated = reply.get("truncated")
    if not isinstance(truncated, list) or len(truncated) > count:
        raise replies.forged("its list of cut inputs")
    if not all(type(position) is int and 0 <= position < count for position in truncated):
        raise replies.forged("its list of cut inputs")
    return {
        "input_tokens": replies.count_of(reply, "input_tokens"),
        "output_tokens": replies.count_of(reply, "output_tokens"),
        "truncated": truncated,
    }


def rows_most(task: str, *, count: int, parameters: Message) -> int:
    """How many rows the network may have computed for `count` inputs."""
    if task == "zero-shot-classification":
        return count * len(parameters["candidate_labels"])
    return count * _WINDOWS if task == "question-answering" else count


def batches(reply: Message, *, count: int, most: int | None = None) -> list[list[int]]:
    """Shapes [rows, tokens] of the batches that were run: `count` rows in all, or up to `most` where it is given.

    Raises RunnerProtocolError.
    """
    most = count if most is None else most
    shapes = reply.get("batches")
    if not isinstance(shapes, list) or not 1 <= len(shapes) <= most:
        raise replies.forged("its batch shapes")
    for shape in shapes:
        if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and 0 < n < 2**31 for n in shape):
            raise replies.forged("its batch shapes")
    if not count <= sum(rows for rows, _ in shapes) <= most:
        raise replies.forged("its batch shapes")
    return shapes


def _table(reply: Message, *, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    shape, data = reply.get("shape"), reply.get("data")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int for n in shape):
        raise replies.forged("its shape")
    if shape[0] != rows or not 0 < shape[1] <= _MOST_WIDTH:
        raise OutputInvalidError(f"The model gave {ascii(shape)[:40]} numbers for {rows} inputs.")
    if not isinstance(data, bytes) or len(data) != 4 * shape[0] * shape[1]:
        raise replies.forged("its numbers")
    numbers = np.frombuffer(data, dtype="<f4").reshape(shape)
    if not np.isfinite(numbers).all():
        raise OutputInvalidError(replies.NOT_FINITE)
    return numbers


def _texts(texts: Any, count: int) -> list[dict[str, Any]]:
    if not isinstance(texts, list) or len(texts) != count:
        raise replies.forged("its number of texts")
    read = []
    for entry in texts:
        if not isinstance(entry, dict) or set(entry) != {"text", "finish_reason", "output_tokens"}:
            raise replies.forged("its texts")
        if not isinstance(entry["text"], str) or entry["finish_reason"] not in ("stop", "length"):
            raise replies.forged("its texts")
        # A NUL is no text to a database; tokens can spell one.
        read.append(
            {
                **entry,
                "text": entry["text"].replace("\0", "\ufffd"),
                "output_tokens": replies.count_of(entry, "output_tokens"),
            }
        )
    return read


def _labels(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not 1 <= len(labels) <= _MOST_LABELS:
        raise replies.forged("its labels")
    if not all(isinstance(label, str) and len(label) <= _LABEL_CHARS for label in labels):
        raise replies.forged("its labels")
    if sum(map(len, labels)) > _LABELS_CHARS:
        raise ModelUnloadableError(
            f"The model's labels have more than {_LABELS_CHARS} characters in all. Shorten them in config.json."
        )
    return [label.replace("\0", "\ufffd") for label in labels]


def _refused_input(reply: Message, known: Message, count: int) -> InputError:
    reason = reply.get("reason")
    if reason == "labels_too_long":
        longest = replies.count_of(reply, "max_length")
        return InputError(
            f"A label in its sentence is longer than {longest} tokens, half of what the model reads. Shorten it.",
            parameter="candidate_labels",
        )
    position = replies.index(reply.get("position"), "its position", below=count)
    where = f"Input {position + 1}"
    if isinstance(reason, str) and reason in _REFUSED:
        return InputError(f"{where} {_REFUSED[reason]}", position=position)
    if reason == "no_mask":
        mask = known.get("mask_token", "[MASK]")
        # The publisher's words: what is no usual name is not put into a sentence of the site's.
        is_shown = mask != "[MASK]" and _MASK_NAME.fullmatch(mask)
        own = f" The model's own name for it, {mask}, does as well." if is_shown else ""
        return InputError(
            f"{where} has no mask within what the model reads. Put [MASK] where a word is missing.{own}",
            position=position,
        )
    if reason == "too_many_masks":
        return InputError(f"{where} has more than {_MASKS} masks. Split it.", position=position)
    return _too_long(reply, position)


def _too_long(reply: Message, position: int) -> InputError:
    longest, where = replies.count_of(reply, "max_length"), f"Input {position + 1}"
    if reply.get("reason") == "no_room":
        return InputError(
            f"{where} and max_new_tokens are together more than the {longest} tokens that the model has room for. "
            "Shorten it, lower max_new_tokens, or set truncate to true.",
            position=position,
            max_length=longest,
            parameter="max_new_tokens",
        )
    told = f"{where} is longer than the {longest} tokens that the model reads. Shorten it, or set truncate to true."
    if reply.get("reason") == "question_too_long":
        told = f"The question of input {position + 1} is longer than {longest} tokens. Shorten it."
    elif reply.get("reason") == "explained_too_long":
        told = f"{where} is longer than the {longest} tokens that are explained. Shorten it, or run it without explain."
    return InputError(told, position=position, max_length=longest)
