"""Plans: their terms, and how they sell and earn by the sums of all rows, against the market's `plan`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from chain.audit.block import AuditBlock, Chunk
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.bindings import licence_market, model_registry
from chain.bindings.structs import PlanState, PlanTerms
from chain.fields import UINT256_MAX
from marketplace.licences import models

_MODELS_PER_CALL = 400
# Where a row has a term, by its name on chain.
_TERMS = {"price_units": "price", "period_s": "period", "vesting_s": "vesting"}
_TABLES: dict[str, type[models.FromEvent]] = {
    "live": models.LicenceCancellation,
    "sold": models.Licence,
    "is_retired": models.PlanRetirement,
    "earned_units": models.Holding,
    "split_units": models.IncomeSplit,
    "shared_units": models.IncomeSplit,
}


def plan_ids(block: AuditBlock) -> Iterator[int]:
    """Every plan that the market has, ascending: they are counted for each model."""
    (count,) = block.ask_all([model_registry(block.book).model_count()])
    market = licence_market(block.book)
    for first in range(1, count + 1, _MODELS_PER_CALL):
        model_ids = range(first, min(first + _MODELS_PER_CALL, count + 1))
        counts = block.ask_all([market.plan_count(model_id) for model_id in model_ids])
        for model_id, plans in zip(model_ids, counts, strict=True):
            yield from (model_id << 32 | number for number in range(1, plans + 1))


@register("plans")
def plans_audit(block: AuditBlock) -> Iterator[Difference]:
    """Every plan of every model, and no other."""
    for chunk in block.chunks(plan_ids(block)):
        yield from _plans(block, chunk)


def _plans(block: AuditBlock, chunk: Chunk) -> Iterator[Difference]:
    within = {"plan_id__range": (chunk.low, chunk.high)}
    rows = {row.plan_id: row for row in block.rows_of(models.Plan).filter(**within)}
    retired = set(block.rows_of(models.PlanRetirement).filter(**within).values_list("plan_id", flat=True))
    sums = _sums(block, chunk)
    market = licence_market(block.book)
    answers = block.ask_all([market.plan(plan_id) for plan_id in chunk.ids])
    hashes = block.ask_all([market.plan_hash(plan_id) for plan_id in chunk.ids])
    for plan_id, (terms, state), plan_hash in zip(chunk.ids, answers, hashes, strict=True):
        row, subject = rows.pop(plan_id, None), f"plan {plan_id}"
        if row is None:
            yield block.missing(models.Plan, subject, f"a plan of model {terms.model_id}")
            continue
        told = {part.name: getattr(terms, part.name) for part in fields(PlanTerms)} | {"plan_hash": plan_hash}
        stored = {name: getattr(row, _TERMS.get(name, name)) for name in told}
        yield from block.compare(models.Plan, subject, database=stored, chain=told)
        summed = {name: sums[name][plan_id] for name in _TABLES if name != "is_retired"}
        database = summed | {"is_retired": plan_id in retired}
        yield from block.compare(_TABLES, subject, database=database, chain=_state(state))
    for plan_id in rows.keys() | sums["sold"].keys() - set(chunk.ids):
        yield block.surplus(models.Plan if plan_id in rows else models.Licence, f"plan {plan_id}", "no such plan")
    for plan_id in retired - set(chunk.ids):
        yield block.surplus(models.PlanRetirement, f"plan {plan_id}", "no such plan")


def _state(state: PlanState) -> dict[str, Any]:
    # What was split is what fee, service, ancestors and publisher got of it: no unit is lost or made.
    told = {part.name: getattr(state, part.name) for part in fields(PlanState)}
    return told | {"shared_units": state.split_units}


def _sums(block: AuditBlock, chunk: Chunk) -> dict[str, Counter[int]]:
    """What the rows of each plan amount to. The columns are text, exact but without sums in SQL."""
    sums: dict[str, Counter[int]] = {name: Counter() for name in _TABLES}
    plans = {"plan_id__range": (chunk.low, chunk.high)}
    licences = {"licence_id__range": (chunk.low << 32, min((chunk.high + 1 << 32) - 1, UINT256_MAX))}
    for plan_id, entry in block.rows_of(models.Licence).filter(**plans).values_list("plan_id", "entry").iterator():
        sums["sold"][plan_id] += 1
        sums["live"][plan_id] += 1
        sums["earned_units"][plan_id] += entry
    for plan_id in block.rows_of(models.LicenceCancellation).filter(**plans).values_list("plan_id", flat=True):
        sums["live"][plan_id] -= 1
    renewals = block.rows_of(models.LicenceRenewal).filter(**licences).values_list("licence_id", "entry")
    for licence_id, entry in renewals.iterator():
        sums["earned_units"][licence_id >> 32] += entry
    for plan_id, vested in block.rows_of(models.Holding).filter(**plans).values_list("plan_id", "vested").iterator():
        sums["earned_units"][plan_id] += vested
    for row in block.rows_of(models.IncomeSplit).filter(**plans).iterator():
        sums["split_units"][row.plan_id] += row.amount
        sums["shared_units"][row.plan_id] += row.fee + row.service + row.publisher
    for credit in block.rows_of(models.AncestorCredit).filter(**plans).iterator():
        sums["shared_units"][credit.plan_id] += credit.amount
    return sums
