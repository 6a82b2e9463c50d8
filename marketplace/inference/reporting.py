"""Calls of metered licences are reported on chain, out of the ledger, by the outbox.

A report states how many calls were used over the licence's life, so that the same one twice is one. It names the
licence by its id alone, and a re-org can give that id to another purchase: a report goes out only for a purchase that
is final, with the count of that purchase.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.db.models import F
from weighhouse.core.faults import fault_point

from chain import selectors as chain
from chain.finality import final_block
from chain.models import OutboxTransaction
from chain.outbox.calls import BATCH, income_collect_enqueue, usage_report_enqueue
from marketplace.inference.models import LicenceUse
from marketplace.licences.selectors import metered_terms, reported_uses

# How many licences one look reads at once.
CHUNK = 500
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Due:
    """A licence whose count goes out: `used` takes the place of what was enqueued before."""

    row: LicenceUse
    used: int


def usage_report(*, licence_ids: Collection[int] | None = None) -> int:
    """Put reports that are due into the outbox. Returns how many licences they name. Any number may run at once.

    1. Look at the metered licences whose ledger is ahead of what was enqueued.
    2. Leave out purchases that are not final (any more), licences that are settled, and plans of other operators.
    3. Due is what is named in `licence_ids`, what its holder cancelled, and what is worth a report by now.
    4. In one transaction per batch: note each count as enqueued, by an UPDATE on the condition that it still is as it
       was read, and enqueue the report of those that changed a row.

    Raises what the address book raises, and in the demo, where a node is asked who the operator is, the gateway.
    """
    rows = LicenceUse.objects.filter(is_metered=True, used__gt=F("enqueued")).order_by("pk")
    if licence_ids is not None:
        rows = rows.filter(licence_id__in=licence_ids)
    operator_id = None
    count = 0
    for chunk in _batches(list(rows), CHUNK):
        operator_id = chain.site_operator_id() if operator_id is None else operator_id
        due = _due(chunk, operator_id, named=licence_ids is not None)
        count += sum(_enqueue(batch) for batch in _batches(due, BATCH))
    return count


def income_collect(*, licence_ids: Collection[int], occasion: str = "") -> list[OutboxTransaction]:
    """Report what was used of the licences, then collect what has vested of them: use makes it vest.

    The outbox keeps the order. Raises what `usage_report` raises.
    """
    with transaction.atomic():
        usage_report(licence_ids=licence_ids)
        return income_collect_enqueue(list(licence_ids), occasion=occasion)


def _due(rows: Sequence[LicenceUse], operator_id: int, *, named: bool) -> Iterable[_Due]:
    reported = reported_uses({row.licence_id for row in rows})
    terms = metered_terms({use.plan_id for use in reported.values()})
    final_to = final_block()
    for row in rows:
        use = reported.get(row.licence_id)
        if use is None or use.purchase != row.purchase or use.block_number > final_to or use.is_settled:
            continue
        plan = terms.get(use.plan_id)
        used = min(row.used, use.calls)
        if plan is None or plan.operator_id != operator_id or operator_id == 0 or used <= max(use.used, row.enqueued):
            continue
        if named or use.is_cancelled or plan.is_worth_a_report(used - use.used):
            yield _Due(row, used)


def _batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def _enqueue(batch: Sequence[_Due]) -> int:
    with transaction.atomic():
        mine = [
            due
            for due in batch
            if LicenceUse.objects.filter(pk=due.row.pk, enqueued=due.row.enqueued).update(enqueued=due.used) == 1
        ]
        usage_report_enqueue([due.row.licence_id for due in mine], [due.used for due in mine])
        fault_point("usage.in_enqueue")
    fault_point("usage.enqueued")
    return len(mine)
