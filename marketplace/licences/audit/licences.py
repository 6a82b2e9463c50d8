"""Each licence: its state by the rows at the block's time, against the market's `licenceStates`.

The rules are those of the contracts, written down once more: docs/contracts-market.md names them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chain.audit.block import AuditBlock, Chunk
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.bindings import licence_market
from chain.bindings.structs import LicenceState
from chain.gateway.errors import NodeUnavailable
from marketplace.licences import models
from marketplace.licences.audit.clocks import Clock, clocks_read
from marketplace.licences.audit.plans import plan_ids

_NOBODY = "0x" + "0" * 40
_PLANS_PER_CALL = 200
_STATES_PER_CALL = 100
# Each value and the table that has it.
_TABLES: dict[str, type[models.FromEvent]] = {
    "exists": models.LicenceSettlement,
    "owner": models.LicenceTransfer,
    "plan_id": models.Licence,
    "model_id": models.Licence,
    "expires_at": models.LicenceRenewal,
    "used": models.UsageReport,
    "calls": models.LicenceRenewal,
    "base": models.UsageReport,
    "flags": models.Plan,
    "is_valid": models.Licence,
    "is_suspended": models.Suspension,
    "settle_at": models.LicenceCancellation,
    "amount_units": models.Holding,
    "taken_units": models.Holding,
    "vested_units": models.Holding,
    "starts_at": models.Holding,
}
_KEPT: dict[type[models.OfLicence] | type[models.LicenceTransfer], str] = {
    models.LicenceRenewal: "renewals",
    models.LicenceTransfer: "transfers",
    models.UsageReport: "reports",
    models.Holding: "holdings",
    models.LicenceCancellation: "cancellations",
    models.LicenceSettlement: "settlements",
}


@dataclass
class _Rows:
    """Everything that the database has about one licence, oldest first."""

    bought: models.Licence
    renewals: list[models.LicenceRenewal] = field(default_factory=list)
    transfers: list[models.LicenceTransfer] = field(default_factory=list)
    reports: list[models.UsageReport] = field(default_factory=list)
    holdings: list[models.Holding] = field(default_factory=list)
    cancellations: list[models.LicenceCancellation] = field(default_factory=list)
    settlements: list[models.LicenceSettlement] = field(default_factory=list)

    @property
    def cancelled(self) -> models.LicenceCancellation | None:
        return self.cancellations[-1] if self.cancellations else None

    @property
    def settled(self) -> models.LicenceSettlement | None:
        return self.settlements[-1] if self.settlements else None

    @property
    def term(self) -> models.Licence | models.LicenceRenewal:
        """What the present term began with."""
        return self.renewals[-1] if self.renewals else self.bought

    @property
    def used(self) -> int:
        """Calls over the licence's life, as last reported."""
        return self.reports[-1].used if self.reports else 0


@register("licences")
def licences_audit(block: AuditBlock) -> Iterator[Difference]:
    """Every licence that was ever sold, by plan and serial, and no other. A burned one must have been settled."""
    for chunk in block.chunks(_licence_ids(block)):
        if chunk.ids:
            block.say(f"licences from {chunk.ids[0]}")
        rows, strays = _rows(block, chunk)
        for licence_id in chunk.ids:
            if licence_id not in rows:
                yield block.missing(models.Licence, f"licence {licence_id}", "a licence that was sold")
        for licence_id, model in strays.items():
            yield block.surplus(model, f"licence {licence_id}", "no such licence")
        for licence_id in sorted(rows.keys() - set(chunk.ids)):
            yield block.surplus(models.Licence, f"licence {licence_id}", "no such licence")
            del rows[licence_id]
        for licence_id, mine in rows.items():
            yield from _holdings(block, licence_id, mine)
            yield from _hands(block, licence_id, mine)
        yield from _states(block, rows)


def _licence_ids(block: AuditBlock) -> Iterator[int]:
    market, part = licence_market(block.book), []
    for plan_id in plan_ids(block):
        part.append(plan_id)
        if len(part) == _PLANS_PER_CALL:
            yield from _serials(block.ask_all([market.plan(one) for one in part]), part)
            part = []
    yield from _serials(block.ask_all([market.plan(one) for one in part]), part)


def _serials(plans: Iterable[Any], plan_ids: Iterable[int]) -> Iterator[int]:
    for plan_id, (_, state) in zip(plan_ids, plans, strict=True):
        yield from (plan_id << 32 | serial for serial in range(1, state.sold + 1))


def _rows(block: AuditBlock, chunk: Chunk) -> tuple[dict[int, _Rows], dict[int, type[models.FromEvent]]]:
    """The rows of each licence that has a purchase, by id; and ids that have rows of other tables alone."""
    within = {"licence_id__range": (chunk.low, chunk.high)}
    bought = block.rows_of(models.Licence).filter(**within).select_related("event").order_by("licence_id")
    found = {row.licence_id: _Rows(row) for row in bought}
    strays: dict[int, type[models.FromEvent]] = {}
    for model, name in _KEPT.items():
        for row in block.rows_of(model).filter(**within).select_related("event"):
            mine = found.get(row.licence_id)
            if mine is None:
                strays.setdefault(row.licence_id, model)
            else:
                getattr(mine, name).append(row)
    return found, strays


def _holdings(block: AuditBlock, licence_id: int, rows: _Rows) -> Iterator[Difference]:
    """What is held after each event: set by a purchase or a renewal, taken from bit by bit, nothing once settled."""
    begun = {row.event_id: row.amount for row in rows.renewals}
    begun[rows.bought.event_id] = rows.bought.price - rows.bought.entry
    amount = taken = held = 0
    for row in rows.holdings:
        if row.event.name == "IncomeVested":
            taken += row.vested
        else:
            amount, taken = begun.get(row.event_id, 0), 0
        if row.event.name == "LicenceSettled" and rows.settled is not None:
            yield from block.compare(
                models.LicenceSettlement,
                f"licence {licence_id}",
                database={"refund": rows.settled.refund},
                chain={"refund": held},
            )
        held = amount - taken
        block.rows += 1
        yield from block.compare(
            models.Holding,
            f"licence {licence_id} after {row.event.name} at {row.event.block_number}/{row.event.log_index}",
            database={"amount": row.amount, "taken": row.taken},
            chain={"amount": amount, "taken": taken},
        )


def _hands(block: AuditBlock, licence_id: int, rows: _Rows) -> Iterator[Difference]:
    """A licence passes from hand to hand: minted to its first holder, each time from whoever had it."""
    holder = _NOBODY
    for row in rows.transfers:
        yield from block.compare(
            models.LicenceTransfer,
            f"licence {licence_id}",
            database={"from_address": row.from_address},
            chain={"from_address": holder},
        )
        holder = row.to_address
    if rows.transfers:
        last = rows.transfers[-1]
        # A cancelled licence cannot be moved: who cancelled it had it to the end.
        leaver = {"holder": last.to_address if rows.settled is None else last.from_address, "plan_id": licence_id >> 32}
        first = {"holder": rows.transfers[0].to_address}
        told: list[tuple[models.FromEvent, dict[str, Any]]] = [(rows.bought, first)]
        told += [(end, leaver) for end in (*rows.cancellations, *rows.settlements)]
        for about, chain in told:
            database = {name: getattr(about, name) for name in chain}
            yield from block.compare(type(about), f"licence {licence_id}", database=database, chain=chain)


def _states(block: AuditBlock, rows: dict[int, _Rows]) -> Iterator[Difference]:
    if not rows:
        return
    ids = list(rows)
    answers = _asked(block, ids)
    plans = _plans(block, {licence_id >> 32 for licence_id in ids})
    clocks = clocks_read(block, ids[0] >> 64, ids[-1] >> 64)
    for licence_id, answer in zip(ids, answers, strict=True):
        chain = {name: getattr(answer, name) for name in _TABLES}
        plan = plans.get(licence_id >> 32)
        if plan is None:
            continue  # The audit of the plans says so.
        yield from _prices(block, licence_id, rows[licence_id], plan)
        clock = clocks.get(licence_id >> 64, Clock())
        database = _state(rows[licence_id], plan, clock, block.header.timestamp)
        yield from block.compare(_TABLES, f"licence {licence_id}", database=database, chain=chain)


def _prices(block: AuditBlock, licence_id: int, rows: _Rows, plan: models.Plan) -> Iterator[Difference]:
    """A plan has one price, which is paid each time."""
    subject, chain = f"licence {licence_id}", {"price": plan.price}
    yield from block.compare(models.Licence, subject, database={"price": rows.bought.price}, chain=chain)
    for renewal in rows.renewals:
        yield from block.compare(models.LicenceRenewal, subject, database={"price": renewal.price}, chain=chain)


def _asked(block: AuditBlock, ids: list[int]) -> list[LicenceState]:
    """Raises `NodeUnavailable` where the node answers fewer states, or more."""
    market = licence_market(block.book)
    parts = [ids[start : start + _STATES_PER_CALL] for start in range(0, len(ids), _STATES_PER_CALL)]
    answers = block.ask_all([market.licence_states(part) for part in parts])
    if list(map(len, answers)) != list(map(len, parts)):
        raise NodeUnavailable("The node answered another number of licences than it was asked about.")
    return [state for told in answers for state in told]


def _plans(block: AuditBlock, ids: set[int]) -> dict[int, models.Plan]:
    within = {"plan_id__range": (min(ids), max(ids))}
    return {plan.plan_id: plan for plan in block.rows_of(models.Plan).filter(**within)}


def _state(rows: _Rows, plan: models.Plan, clock: Clock, now: int) -> dict[str, Any]:
    """What `licenceStates` has to answer at the block time `now`: nothing of a licence that was settled."""
    owner = rows.transfers[-1].to_address if rows.transfers else _NOBODY
    if rows.settled is not None:
        return dict.fromkeys(_TABLES, 0) | {"exists": False, "owner": owner}
    return {"exists": True, "owner": owner, **_terms(rows, plan, clock, now), **_money(rows, plan, clock, now)}


def _terms(rows: _Rows, plan: models.Plan, clock: Clock, now: int) -> dict[str, Any]:
    term, behind, used = rows.term, clock.behind(now), rows.used
    is_over = bool(term.expires_at) and now - behind >= term.expires_at
    is_used_up = bool(term.calls) and used >= term.calls
    is_suspended = bool(clock.suspended_at(now))
    return {
        "plan_id": rows.bought.plan_id,
        "model_id": rows.bought.model_id,
        "expires_at": term.expires_at + behind if term.expires_at else 0,
        "used": used,
        "calls": term.calls,
        "flags": plan.flags,
        "is_valid": rows.cancelled is None and not is_suspended and not is_over and not is_used_up,
        "is_suspended": is_suspended,
        "settle_at": rows.cancelled.settle_at if rows.cancelled is not None else 0,
    }


def _money(rows: _Rows, plan: models.Plan, clock: Clock, now: int) -> dict[str, Any]:
    """Of a plan that vests at once nothing is held, and nothing is counted for it."""
    began, behind = int(rows.term.event.block_time.timestamp()), clock.behind(now)
    starts = began - clock.behind(began) if plan.vesting else 0
    base = _base(rows) if plan.vesting else 0
    holding = rows.holdings[-1] if rows.holdings else models.Holding(amount=0, taken=0)
    by_time = _by_time(rows, plan, starts, now - behind)
    return {
        "base": base,
        "amount_units": holding.amount,
        "taken_units": holding.taken,
        "vested_units": _vested(holding, by_time=by_time, by_use=(rows.used - base, rows.term.calls - base)),
        "starts_at": starts + behind if starts and rows.cancelled is None else 0,
    }


def _base(rows: _Rows) -> int:
    """The calls that were used before the present term."""
    if not rows.renewals:
        return 0
    before = [report.used for report in rows.reports if report.event_id < rows.renewals[-1].event_id]
    return before[-1] if before else 0


def _by_time(rows: _Rows, plan: models.Plan, starts: int, clock_at: int) -> tuple[int, int]:
    """How long the term runs and how long it takes, in seconds of the model's clock; nothing once it is cancelled."""
    if rows.cancelled is not None:
        return 0, 0
    return clock_at - starts, rows.term.expires_at - starts if rows.term.expires_at else plan.vesting


def _vested(holding: models.Holding, *, by_time: tuple[int, int], by_use: tuple[int, int]) -> int:
    """The most of what was taken, what time and what use have vested, each rounded down."""
    parts = [holding.amount * min(done, whole) // whole for done, whole in (by_time, by_use) if whole > 0]
    return max(holding.taken, *parts, 0)
