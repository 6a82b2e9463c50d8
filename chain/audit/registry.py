"""How the apps above tell the audit what they keep: a table, filled in `AppConfig.ready()`.

- `rows_register(RowAudit(...))` says which rows each log makes, field by field. It is written a second time here and
  shares nothing with the handlers; a field that nobody mentions is an error.
- `register(name)` decorates a function that compares what the rows amount to with the contracts' views at one block.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from chain.audit.block import AuditBlock
from chain.audit.decode import AuditedLog
from chain.audit.report import Difference

Audit = Callable[[AuditBlock], Iterable[Difference]]
Expected = Callable[[AuditedLog], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class RowAudit:
    """Which rows of `model` the logs make.

    `expected` has, by contract and event, a function that gives the rows of one log. `paths` says where the database
    has what a foreign key means on chain. `elsewhere` are the fields that a registered function compares. `key` tells
    several rows of one log apart.
    """

    model: type[Model]
    expected: Mapping[tuple[str, str], Expected]
    paths: Mapping[str, str] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that comes from the log: all but the keys and what is compared elsewhere."""
        names = [part.name for part in self.model._meta.concrete_fields if not part.primary_key]
        return tuple(name for name in names if name != "event" and name not in self.elsewhere)

    def rows(self, log: AuditedLog) -> dict[tuple[Any, ...], Mapping[str, Any]]:
        """The rows of a log by their keys. Raises `LookupError` where a field of the model is not among them."""
        make = self.expected.get((log.contract, log.name))
        found = {} if make is None else {tuple(row[name] for name in self.key): row for row in make(log)}
        for row in found.values():
            if set(row) != set(self.fields):
                names = ", ".join(sorted(set(row) ^ set(self.fields)))
                raise LookupError(f"The audit of {self.model._meta.label} does not say what it holds: {names}.")
        return found


_audits: dict[str, Audit] = {}
_rows: dict[type[Model], RowAudit] = {}


def register(name: str) -> Callable[[Audit], Audit]:
    """Register the decorated function under a name that is told while it runs."""

    def decorate(audit: Audit) -> Audit:
        _audits[name] = audit
        return audit

    return decorate


def rows_register(*audits: RowAudit) -> None:
    """Register what the rows of some models must be."""
    _rows.update({audit.model: audit for audit in audits})


def audits() -> dict[str, Audit]:
    """The functions by their names, in the order of their registration."""
    return dict(_audits)


def row_audits() -> list[RowAudit]:
    return list(_rows.values())
