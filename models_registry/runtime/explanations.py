"""Reading why a model gave a label. Scores and places are the runner's and checked; every sentence is written here."""

from collections.abc import Sequence
from typing import Any

from models_registry.runtime import replies
from models_registry.runtime.explain_limits import MOST_TOKENS

_SAME_LABEL = (
    "With every token blanked out the model gives the same label. So the label may not come from this text at all."
)
_NO_BETTER_THAN_RANDOM = (
    "Blanking out the tokens with the highest scores lowers the label's score no more than blanking out tokens at "
    "random. So do not rely on these scores."
)
_BASELINES = {"pad": "the embedding of the padding token", "zeros": "zeros"}


def read(entry: Any, text: str, labels: Sequence[str], *, method: str) -> dict[str, Any]:
    """An explanation of one input, as `output_schema` of the classification tasks has it.

    `entry` is `[label, score, tokens, baseline, deletion]`: the label's place; tokens as `[score, start, end]`; the
    baseline as `[kind, label's place or None, its score]`; deletion as `[count, drop, drop at random]`.

    Raises RunnerProtocolError, OutputInvalidError.
    """
    what = "its explanation"
    label, score, found, baseline, deletion = replies.items(entry, what, length=5)
    kind, baseline_label, baseline_score = replies.items(baseline, what, length=3)
    if not isinstance(kind, str) or kind not in _BASELINES:
        raise replies.forged(what)
    tokens = []
    for token in replies.items(found, what, most=MOST_TOKENS):
        cause, start, end = replies.items(token, what, length=3)
        tokens.append(replies.span(cause, start, end, text))
    deleted, drop, random_drop = replies.items(deletion, what, length=3)
    replies.index(deleted, what, below=len(tokens) + 1)
    label = replies.index(label, what, below=len(labels))
    if baseline_label is not None:
        baseline_label = replies.index(baseline_label, what, below=len(labels))
    drop, random_drop = replies.number(drop), replies.number(random_drop)
    warnings = [_SAME_LABEL] * (baseline_label == label) + [_NO_BETTER_THAN_RANDOM] * (drop <= random_drop)
    return {
        "method": method,
        "label": labels[label],
        "score": replies.number(score),
        "tokens": tokens,
        "baseline": {
            "token_vector": _BASELINES[kind],
            "label": None if baseline_label is None else labels[baseline_label],
            "score": replies.number(baseline_score),
        },
        "deletion": {"tokens": deleted, "drop": drop, "random_drop": random_drop},
        "warnings": warnings,
    }
