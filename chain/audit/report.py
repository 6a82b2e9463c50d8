"""What an audit found."""

from dataclasses import dataclass, field
from typing import Any

NO_ROW = "no row"
REMEDY = (
    "Run `manage.py reindex`. If the difference is there again afterwards, the indexer or a handler has a bug: report"
    " it with this text."
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One value in which the database and the chain differ.

    `table` is the label of a model, `subject` says which row or what it is about, `field` is empty where a whole row is
    missing or too many.
    """

    table: str
    subject: str
    field: str
    database: Any
    chain: Any
    remedy: str = REMEDY

    def __str__(self) -> str:
        what = f"{self.table}, {self.subject}" + (f", {self.field}" if self.field else "")
        return f"{what}: the database says {_shown(self.database)}, the chain says {_shown(self.chain)}."


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was compared at one block, and the differences: all, or the first."""

    block_number: int
    block_hash: str
    # Single values that were compared, and the rows of the database among which they stand.
    values: int
    rows: int
    seconds: float
    is_sample: bool
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        what = "a sample of " if self.is_sample else ""
        verdict = "equal" if self.is_equal else "DIFFERENT"
        return (
            f"{what}{self.values} values of {self.rows} rows compared at block {self.block_number} in"
            f" {self.seconds:.1f} s: {verdict}."
        )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}..."
