"""A measured figure beside its baseline, and the model card that states it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

import yaml

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a sample reached on a set, and what the stated baseline reached on the same set.

    `better` is "higher" or "lower". `claim` says whether the sample is held to beating the baseline here;
    a figure without a claim is stated all the same.
    """

    measure: str
    measured_on: str
    value: float
    baseline: str
    baseline_value: float
    better: str = "higher"
    claim: bool = True

    @property
    def beats_baseline(self) -> bool:
        """Tell whether the sample is on the better side of the baseline."""
        if self.better == "higher":
            return self.value > self.baseline_value
        return self.value < self.baseline_value

    def matches(self, other: "Figure", *, tolerance: float = 0.005) -> bool:
        """Tell whether two measurements of one thing agree.

        `tolerance` is relative to the larger of 1 and the stated value: another processor may add in another order.
        """
        same = (self.measure, self.measured_on, self.baseline, self.better) == (
            other.measure,
            other.measured_on,
            other.baseline,
            other.better,
        )
        pairs = ((self.value, other.value), (self.baseline_value, other.baseline_value))
        return same and all(abs(a - b) <= tolerance * max(1.0, abs(b)) for a, b in pairs)


def _table(figures: Sequence[Figure]) -> str:
    rows = ["| measured on | measure | this model | baseline | baseline's figure |", "|---|---|---|---|---|"]
    rows += [
        f"| {f.measured_on} | {f.measure} ({f.better} is better) | **{f.value:.4g}** "
        f"| {f.baseline} | {f.baseline_value:.4g} |"
        for f in figures
    ]
    return "\n".join(rows)


def card_write(directory: Path, head: dict[str, str], figures: Sequence[Figure]) -> None:
    """Write `README.md` of a sample: YAML front matter with the figures, then the card's text with their table.

    The text is `cards/<directory name>.md`, in which `$figures` stands for the table.
    """
    stated = [asdict(figure) | {"value": round(figure.value, 4), "baseline_value": round(figure.baseline_value, 4)}
              for figure in figures]  # fmt: skip
    front = yaml.safe_dump(head | {"figures": stated}, sort_keys=False, allow_unicode=True, width=110)
    text = (CARDS / f"{directory.name}.md").read_text(encoding="utf-8")
    body = Template(text).substitute(figures=_table(figures))
    (directory / "README.md").write_text(f"---\n{front}---\n\n{body}", encoding="utf-8")


def card_figures(directory: Path) -> list[Figure]:
    """Read back the figures that a sample's card states."""
    front = (directory / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    return [Figure(**entry) for entry in yaml.safe_load(front)["figures"]]
