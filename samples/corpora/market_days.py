"""Generated stories about a day at the weigh house.

Each story keeps facts over a distance: the goods that came are the goods that are weighed, the weight that the
scale shows is the weight that the clerk writes, the price that is asked is the price that is paid, and the
buyer's trade fits the goods. A model that looks one word back cannot know them.

Held out for judging, and never trained on: pairs of a name and goods and pairs of a weight and a price that
`pair_is_held_out` names, and the outlines (orders of sentences) under `outlines.held_out`.
"""

import random
import re
import tomllib
import zlib
from pathlib import Path
from typing import Any

CORPUS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PEOPLE: dict[str, str] = {name: they for they, names in CORPUS["people"].items() for name in names.split()}
GOODS: dict[str, tuple[str, str]] = {goods: (box, buyer) for goods, (box, buyer) in CORPUS["goods"].items()}
THEIR = {"she": "her", "he": "his"}
WEIGHTS: list[str] = CORPUS["weights"].split()
PRICES: list[str] = CORPUS["prices"].split()


def pair_is_held_out(first: str, second: str) -> bool:
    """Tell whether a name and goods, or a weight and a price, may only meet in held-out stories (one in four)."""
    return zlib.crc32(f"{first}/{second}".encode()) % 4 == 0


def _facts(rng: random.Random, *, held_out: bool) -> dict[str, str]:
    while True:
        name, goods = rng.choice(list(PEOPLE)), rng.choice(list(GOODS))
        weight, price = rng.choice(WEIGHTS), rng.choice(PRICES)
        if pair_is_held_out(name, goods) == pair_is_held_out(weight, price) == held_out:
            break
    box, buyer = GOODS[goods]
    found = {"name": name, "goods": goods, "weight": weight, "price": price}
    return found | {"box": box, "buyer": buyer, "they": PEOPLE[name], "their": THEIR[PEOPLE[name]]}


def story(rng: random.Random, *, held_out: bool) -> str:
    """Return one story of five to seven sentences."""
    facts = _facts(rng, held_out=held_out)
    outline = rng.choice(CORPUS["outlines"]["held_out" if held_out else "train"]).split()
    sentences, named = [], False
    for part in outline:
        # Once the person is known, half of the later sentences say "he" or "she".
        who = facts["they"] if named and part != "arrive" and rng.random() < 0.5 else facts["name"]
        words = facts | {"time": rng.choice(CORPUS["times"]), "name": who, "Name": who[0].upper() + who[1:]}
        sentences.append(rng.choice(CORPUS["sentences"][part]).format_map(words))
        named = named or part == "arrive"
    return re.sub(r"\b([Aa]) ([aeiou])", r"\1n \2", " ".join(sentences))


def story_list(count: int, *, seed: int, held_out: bool) -> list[str]:
    """Generate `count` distinct stories."""
    rng = random.Random(seed)
    seen: dict[str, None] = {}
    while len(seen) < count:
        seen.setdefault(story(rng, held_out=held_out))
    return list(seen)
