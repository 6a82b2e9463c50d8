"""Calls of metered licences are reported on chain, out of the ledger, by the outbox.

A report states how many calls were used over the licence's life, so that the same one twice is one. It names the
licence by its id alone, and a re-org can give that id to another purchase: a report goes out only for a purchase that
is final, with the count of that purchase.

The market does not revert for what it cannot count, it says so (`UsageSkipped`). Where the reason may pass, the count
is sent again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from weighhouse.core.faults import fault_point

from chain import selectors as chain
from chain.finality import final_block
from chain.models import OutboxTransaction
from chain.outbox.calls import (
    BATCH,
    USAGE_REPORT,
    income_collect_enqueue,
    usage_report_enqueue,
    usage_reports_under_way,
)
from marketplace.inference.models import LicenceUse
from marketplace.licences.models import SkipReason, UsageReport, UsageSkip
from marketplace.licences.selectors import chain_now, metered_terms, reported_uses

# How many licences one look reads at once.
CHUNK = 500
# How long a report that was skipped rests before it is sent again, by block time.
RESEND_AFTER = timedelta(minutes=10)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Due:
    """A licence whose count goes out: `used` takes the place of what was enqueued before.

    With `skip` the market skipped that, and `used` may be the same count again.
    """

    row: LicenceUse
    used: int
    skip: UsageSkip | None = None


def usage_report(*, licence_ids: Collection[int] | None = None) -> int:
    """Put reports that are due into the outbox. Returns how many licences they name. Any number may run at once.

    1. Look at the metered licences whose ledger is ahead of what was enqueued, and at those of which the market skipped
       what was enqueued, a while ago and for a reason that may pass.
    2. Leave out purchases that are not final (any more), licences that are settled, and plans of other operators.
    3. Due is what is named in `licence_ids`, what its holder cancelled, and what is worth a report by now.
    4. In one transaction per batch: note each count as enqueued, by an UPDATE on the condition that it still is as it
       was read, and enqueue the report of those that changed a row. A batch that would send again what another process
       has just sent again is rolled back.

    Raises what the address book raises, and in the demo, where a node is asked who the operator is, the gateway.
    """
    metered = LicenceUse.objects.filter(is_metered=True).order_by("pk")
    if licence_ids is not None:
        metered = metered.filter(licence_id__in=licence_ids)
    skips = _skips(metered)
    rows = sorted(dict.fromkeys((*skips, *metered.filter(used__gt=F("enqueued")))), key=lambda row: row.pk)
    operator_id = None
    count = 0
    for chunk in _batches(rows, CHUNK):
        operator_id = chain.site_operator_id() if operator_id is None else operator_id
        due = _due(chunk, skips, operator_id, named=licence_ids is not None)
        count += sum(_enqueue(batch) for batch in _batches(due, BATCH))
    return count


def income_collect(*, licence_ids: Collection[int], occasion: str = "") -> list[OutboxTransaction]:
    """Report what was used of the licences, then collect what has vested of them: use makes it vest.

    The outbox keeps the order. Raises what `usage_report` raises.
    """
    with transaction.atomic():
        usage_report(licence_ids=licence_ids)
        return income_collect_enqueue(list(licence_ids), occasion=occasion)


def _skips(metered: QuerySet[LicenceUse]) -> dict[LicenceUse, UsageSkip]:
    """Of which licences the market skipped what was enqueued last, where it may be sent again by now.

    Anybody may send a report and have it skipped: only what this site's own transactions reported counts. While one of
    them is not final, nothing is sent after it.
    """
    may_pass = [reason for reason in SkipReason if reason.may_pass]
    until = datetime.fromtimestamp(chain_now(), UTC) - RESEND_AFTER
    skipped = UsageSkip.objects.filter(reason__in=may_pass, event__block_time__lte=until).values("licence_id")
    ours = OutboxTransaction.objects.filter(purpose=USAGE_REPORT).values("tx_hash")
    same = {"licence_id": OuterRef("licence_id"), "used": OuterRef("enqueued")}
    newest = UsageSkip.objects.filter(**same, event__tx_hash__in=ours).order_by("-event").values("pk")
    counted = UsageReport.objects.filter(licence_id=OuterRef("licence_id"), used__gte=OuterRef("enqueued"))
    rows = metered.filter(~Exists(counted), licence_id__in=skipped).annotate(skip_id=Subquery(newest[:1]))
    skip_ids = {row: row.skip_id for row in rows if row.skip_id is not None}
    if not skip_ids:
        return {}
    # The newest may be another than the one that was looked for: younger, or for good.
    found = UsageSkip.objects.filter(reason__in=may_pass, event__block_time__lte=until).select_related("event")
    skips = found.in_bulk(skip_ids.values())
    under_way = usage_reports_under_way()
    return {
        row: skips[skip_id] for row, skip_id in skip_ids.items() if skip_id in skips and row.licence_id not in under_way
    }


def _due(
    rows: Sequence[LicenceUse], skips: Mapping[LicenceUse, UsageSkip], operator_id: int, *, named: bool
) -> Iterable[_Due]:
    reported = reported_uses({row.licence_id for row in rows})
    terms = metered_terms({use.plan_id for use in reported.values()})
    final_to = final_block()
    for row in rows:
        use = reported.get(row.licence_id)
        if use is None or use.purchase != row.purchase or use.block_number > final_to or use.is_settled:
            continue
        plan = terms.get(use.plan_id)
        used = min(row.used, use.calls)
        skip = skips.get(row)
        sent = row.enqueued if skip is None or skip.event.block_number < use.block_number else 0
        if plan is None or plan.operator_id != operator_id or operator_id == 0 or used <= max(use.used, sent):
            continue
        if named or use.is_cancelled or plan.is_worth_a_report(used - use.used):
            yield _Due(row, used, skip)


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
        skips = {due.row.licence_id: due.skip for due in mine if due.skip is not None}
        # A count that goes out again as it is leaves its row as it was, so that the UPDATE alone stops nobody.
        if skips and not skips.keys().isdisjoint(usage_reports_under_way()):
            transaction.set_rollback(True)
            return 0
        usage_report_enqueue(
            [due.row.licence_id for due in mine], [due.used for due in mine], occasion=_occasion(skips.values())
        )
        fault_point("usage.in_enqueue")
    fault_point("usage.enqueued")
    return len(mine)


def _occasion(skips: Iterable[UsageSkip]) -> str:
    """Which event is the reason to send counts again. Empty where none was skipped."""
    newest = max((skip.event for skip in skips), key=lambda event: event.pk, default=None)
    return f"{newest.block_hash}:{newest.log_index}" if newest else ""
