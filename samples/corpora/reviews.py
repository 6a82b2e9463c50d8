"""Generated product reviews with a known sentiment.

A template (`reviews.toml`) is written for the label it carries: `+` slots take words of the label's polarity,
`-` slots take words of the opposite one. "The {n} was not {a-}." is therefore a positive review when it says
"not awful" and a negative one when it says "not lovely": words alone do not decide, the order does.

Held out for judging, and never trained on: the templates of `held_out`, and every pair of a noun and an
adjective that `pair_is_held_out` names. Held-out words are all known from other sentences; their
combinations and the sentences around them are new.
"""

import random
import re
import tomllib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELS = ("negative", "neutral", "positive")
OPPOSITE = {"positive": "negative", "negative": "positive", "neutral": "neutral"}

CORPUS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NOUNS: list[str] = CORPUS["nouns"].split()
ADJECTIVES: dict[str, list[str]] = {label: words.split() for label, words in CORPUS["adjectives"].items()}

# What a slot takes whatever the label is, and what it takes by polarity.
_PLAIN = {
    "i": CORPUS["intensifiers"].split(),
    "c": CORPUS["colours"].split(),
    "d": CORPUS["days"].split(),
    "p": CORPUS["places"].split(),
    "k": CORPUS["counts"].split(),
}
_POLAR = {
    "v": {label: words.split() for label, words in CORPUS["verbs"].items()},
    "t": CORPUS["things"],
    "e": CORPUS["events"],
}


@dataclass(frozen=True)
class Review:
    """One sentence and its label, an index into `LABELS`."""

    text: str
    label: int


def pair_is_held_out(noun: str, adjective: str) -> bool:
    """Tell whether a noun and an adjective may only meet in the held-out set (one pair in four)."""
    return zlib.crc32(f"{noun}/{adjective}".encode()) % 4 == 0


def _templates(label: str, *, held_out: bool) -> list[str]:
    side = CORPUS["templates"]["held_out" if held_out else "train"]
    if label == "neutral":
        return list(side["neutral"])
    return [*side["opinion"], *(side["positive"] if label == "positive" else [])]


def _fill(template: str, label: str, rng: random.Random, *, held_out: bool) -> str:
    noun, second = rng.sample(NOUNS, 2)
    near = noun  # the noun that the next adjective speaks of

    def slot(match: re.Match[str]) -> str:
        nonlocal near
        kind = match.group(1)
        polarity = label if kind.endswith("+") else OPPOSITE[label]
        if kind in ("n", "n2"):
            near = noun if kind == "n" else second
            return near
        if kind[0] in "aA":
            named = second if match.string[match.end() :].startswith(" {n2}") else near
            allowed = [a for a in ADJECTIVES[polarity] if pair_is_held_out(named, a) == held_out]
            word = rng.choice(allowed)
            return word.capitalize() if kind[0] == "A" else word
        return rng.choice(_PLAIN[kind] if kind in _PLAIN else _POLAR[kind[0]][polarity])

    text = re.sub(r"\{([^}]+)\}", slot, template)
    opener = rng.choice(CORPUS["openers"])
    if opener and not text.startswith("I "):
        text = text[0].lower() + text[1:]
    return re.sub(r"\b([Aa]) ([aeiou])", r"\1n \2", opener + text)


def review_list(count: int, *, seed: int, held_out: bool) -> list[Review]:
    """Generate `count` distinct reviews, about a fifth of them neutral, the rest as often positive as negative."""
    rng = random.Random(seed)
    templates = {label: _templates(label, held_out=held_out) for label in LABELS}
    seen: dict[str, int] = {}
    while len(seen) < count:
        label = rng.choices(LABELS, weights=(2, 1, 2))[0]
        text = _fill(rng.choice(templates[label]), label, rng, held_out=held_out)
        seen.setdefault(text, LABELS.index(label))
    return [Review(text, label) for text, label in seen.items()]
