"""A job's outputs as a page shows them. They come from a stranger's model: only text is made of them."""

import math
from dataclasses import dataclass, field
from typing import Any

import orjson

HEAD = 6
INPUT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Score:
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Result:
    """One input's result. `kind` is vector, scores, text or json; the other fields belong to one kind each."""

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


def input_text(value: Any) -> str:
    """An input as a page shows it. Files are named by what they are and not shown."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"upload"}:
        return f"Sent ahead as upload {value['upload']}"
    if isinstance(value, dict) and isinstance(value.get("data"), str):
        return f"A file of about {len(value['data']) * 3 // 4} bytes"
    return orjson.dumps(value).decode()[:INPUT_CHARS]


def results_of(task: str, inputs: list[str], outputs: Any) -> list[Result]:
    """One `Result` per input; what does not have the task's form is shown as JSON."""
    if not isinstance(outputs, list):
        return [_json(outputs)]
    texts = [*inputs, *([""] * len(outputs))]
    return [_result(task, text, output) for text, output in zip(texts, outputs, strict=False)]


def _result(task: str, text: str, output: Any) -> Result:
    try:
        match task:
            case "feature-extraction":
                return _vector(text, output)
            case "text-classification":
                scores = [Score(str(entry["label"])[:200], float(entry["score"])) for entry in output]
                return Result("scores", input=text, scores=scores)
            case "text-generation":
                finish, tokens = str(output["finish_reason"]), int(output["output_tokens"])
                return Result("text", prompt=text, text=str(output["text"]), finish=finish, tokens=tokens)
    except (KeyError, TypeError, ValueError):
        return _json(output)
    return _json(output)


def _vector(text: str, output: Any) -> Result:
    numbers = [float(value) for value in output]
    return Result(
        "vector",
        input=text,
        dimension=len(numbers),
        norm=math.sqrt(math.fsum(value * value for value in numbers)),
        head=", ".join([f"{value:.4f}" for value in numbers[:HEAD]] + ["…"] * (len(numbers) > HEAD)),
        text=orjson.dumps(numbers).decode(),
    )


def _json(output: Any) -> Result:
    return Result("json", text=orjson.dumps(output, option=orjson.OPT_INDENT_2).decode())
