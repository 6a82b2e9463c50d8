"""A job's outputs as a page shows them. They come from a stranger's model: only text is made of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

HEAD = 6
INPUT_CHARS = 2000
STRONGEST = 8
_STEPS = 5  # of colour


@dataclass(frozen=True, slots=True)
class Score:
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text: marked with a label, or as it is."""

    text: str
    label: str = ""
    score: float = 0.0
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """A stretch of a text with what the label owes it. `strength` is 1 to 5, negative where it speaks against it."""

    text: str
    score: float = 0.0
    strength: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a label was given, for a page."""

    label: str
    score: float
    method: str
    causes: list[Cause]
    baseline_label: str | None
    baseline_score: float
    deleted: int
    drop: float
    random_drop: float
    warnings: list[str]

    @property
    def strongest(self) -> list[Cause]:
        """Tokens by what the label owes them, for those who see no colour."""
        scored = [cause for cause in self.causes if cause.strength]
        return sorted(scored, key=lambda cause: -abs(cause.score))[:STRONGEST]


@dataclass(frozen=True, slots=True)
class Result:
    """One input's result. `kind` is vector, scores, explained, masks, marked, text, transcript or json.

    The other fields belong to one kind each.
    """

    kind: str
    input: str = ""
    text: str = ""
    dimension: int = 0
    norm: float = 0.0
    head: str = ""
    scores: list[Score] = field(default_factory=list)
    prompt: str = ""
    tokens: int = 0
    finish: str = ""
    masks: list[list[Score]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    explanation: Explanation | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a text was marked."""
        return not any(part.is_marked for part in self.parts)


def input_text(value: Any) -> str:
    """An input as a page shows it. Files are named by what they are and not shown."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"upload", "sha256"}:
        return f"Sent ahead as upload {value['upload']}"
    if isinstance(value, dict) and isinstance(value.get("data"), str):
        return f"A file of about {len(value['data']) * 3 // 4} bytes"
    return orjson.dumps(value).decode()[:INPUT_CHARS]


def results_of(task: str, inputs: list[Any], outputs: Any) -> list[Result]:
    """One `Result` per input; what does not have the task's form is shown as JSON."""
    if not isinstance(outputs, list):
        return [_json(outputs)]
    given = [*inputs, *([""] * len(outputs))]
    return [_result(task, value, output) for value, output in zip(given, outputs, strict=False)]


def _result(task: str, given: Any, output: Any) -> Result:
    reader = _READERS.get(task)
    if reader is None:
        return _json(output)
    try:
        return reader(given, output)
    except (KeyError, TypeError, ValueError):
        return _json(output)


def _shown(given: Any) -> str:
    """What of an input is worth showing above its result: a text, a question, the last of a chat; of a file nothing."""
    if isinstance(given, dict) and given.get("messages"):
        return str(given["messages"][-1]["content"])
    return str(given.get("question", "")) if isinstance(given, dict) else str(given)


def _scores_of(entries: Any, name: str = "label") -> list[Score]:
    return [Score(str(entry[name])[:200], float(entry["score"])) for entry in entries]


def _scores(given: Any, output: Any) -> Result:
    return Result("scores", input=_shown(given), scores=_scores_of(output))


def _classified(given: Any, output: Any) -> Result:
    if isinstance(output, list):
        return _scores(given, output)
    if not isinstance(given, str):
        raise TypeError("an input that was sent ahead is not there to be marked")
    found = output["explanation"]
    baseline, deletion = found["baseline"], found["deletion"]
    explanation = Explanation(
        label=str(found["label"])[:200],
        score=float(found["score"]),
        method=str(found["method"]).replace("_", " "),
        causes=_causes(given, found["tokens"]),
        baseline_label=None if baseline["label"] is None else str(baseline["label"])[:200],
        baseline_score=float(baseline["score"]),
        deleted=int(deletion["tokens"]),
        drop=float(deletion["drop"]),
        random_drop=float(deletion["random_drop"]),
        warnings=[str(warning) for warning in found["warnings"]],
    )
    return Result("explained", scores=_scores_of(output["scores"]), explanation=explanation)


def _causes(text: str, tokens: Any) -> list[Cause]:
    """The text cut at its tokens, which come in order; one that overlaps another is left out."""
    causes, at = [], 0
    most = max((abs(float(token["score"])) for token in tokens), default=0.0)
    for token in tokens:
        start, end, score = int(token["start"]), int(token["end"]), float(token["score"])
        if at <= start < end:
            strength = round(_STEPS * score / most) if most > 0 else 0
            causes += [Cause(text[at:start]), Cause(text[start:end], score, strength)]
            at = end
    return [*causes, Cause(text[at:])]


def _masks(given: Any, output: Any) -> Result:
    return Result("masks", input=_shown(given), masks=[_scores_of(mask, "text") for mask in output])


def _entities(given: Any, output: Any) -> Result:
    if not isinstance(given, str):
        raise TypeError("an input that was sent ahead is not there to be marked")
    return Result("marked", parts=_parts(given, output))


def _answer(given: Any, output: Any) -> Result:
    """The answer within its context; an empty one marks nothing."""
    found = [output] if output["text"] else []
    return Result("marked", input=_shown(given), parts=_parts(str(given["context"]), found))


def _parts(text: str, marks: Any) -> list[Part]:
    """The text cut at the marks, which come in order; one that overlaps another is left out."""
    parts, at = [], 0
    for mark in marks:
        start, end = int(mark["start"]), int(mark["end"])
        if at <= start < end:
            label = str(mark.get("label", ""))[:200]
            marked = Part(text[start:end], label, float(mark["score"]), is_marked=True)
            parts += [Part(text[at:start]), marked]
            at = end
    return [*parts, Part(text[at:])]


def _continued(given: Any, output: Any) -> Result:
    """Of a text the continuation follows it; of a chat it is the answer."""
    prompt, asked = (given, "") if isinstance(given, str) else ("", _shown(given))
    return _written(output, prompt=prompt, asked=asked)


def _rewritten(given: Any, output: Any) -> Result:
    return _written(output, prompt="", asked=_shown(given))


def _written(output: Any, *, prompt: str, asked: str) -> Result:
    finish, tokens = str(output["finish_reason"]), int(output["output_tokens"])
    return Result("text", input=asked, prompt=prompt, text=str(output["text"]), finish=finish, tokens=tokens)


def _transcript(given: Any, output: Any) -> Result:
    return Result("transcript", text=str(output["text"]))


def _vector(given: Any, output: Any) -> Result:
    numbers = [float(value) for value in output]
    return Result(
        "vector",
        input=_shown(given),
        dimension=len(numbers),
        norm=math.sqrt(math.fsum(value * value for value in numbers)),
        head=", ".join([f"{value:.4f}" for value in numbers[:HEAD]] + ["…"] * (len(numbers) > HEAD)),
        text=orjson.dumps(numbers).decode(),
    )


def _json(output: Any) -> Result:
    return Result("json", text=orjson.dumps(output, option=orjson.OPT_INDENT_2).decode())


_READERS: dict[str, Callable[[Any, Any], Result]] = {
    "feature-extraction": _vector,
    "text-classification": _classified,
    "token-classification": _entities,
    "fill-mask": _masks,
    "question-answering": _answer,
    "zero-shot-classification": _classified,
    "text2text-generation": _rewritten,
    "text-generation": _continued,
    "image-classification": _scores,
    "automatic-speech-recognition": _transcript,
}
