"""Licences as their holders see them, by the index. Whether one is valid is asked of the chain (`services`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from django.db.models import BigIntegerField, Case, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from chain import selectors as chain
from chain.finality import Finality, finality_of
from chain.prepared import Prepared
from chain.removals import removal_of_licence
from marketplace.licences.errors import LicenceNotFoundError, LicenceReorgedError
from marketplace.licences.models import (
    Licence,
    LicenceCancellation,
    LicenceRenewal,
    LicenceSettlement,
    LicenceTransfer,
    OfLicence,
    Plan,
    PlanRetirement,
    Right,
    UsageReport,
)
from marketplace.licences.selectors.plans import LIST_LIMIT, plans_by_id
from marketplace.licences.selectors.times import SuspensionSpan, chain_now, model_times
from marketplace.licences.tokens import amount_text

# A list of models is for showing; a call finds its licence among all of the model's.
RUNNABLE_LIMIT = 1000
LAST_MOMENT = 253_402_300_799

LicenceDisplayState = Literal["valid", "expired", "suspended", "cancelled", "settled", "missing"]
Row = TypeVar("Row", bound=OfLicence)


@dataclass(frozen=True, slots=True)
class LicenceView:
    """A licence as its holder sees it. `finality` is that of its purchase; it runs at one confirmation.

    `expires_at` is block time: shifted for the suspensions of the model that are known. `calls` were bought over the
    licence's life, renewals included (0: unmetered); `used` of them the operator has reported on chain. `holder` of a
    settled licence is its last one. `now` is the block time at which all of this was looked at.
    """

    licence: Licence
    plan: Plan
    holder: str
    finality: Finality
    expires_at: datetime | None
    calls: int
    used: int
    now: int
    suspension: SuspensionSpan | None = None
    is_plan_retired: bool = False
    renewal: LicenceRenewal | None = None
    cancellation: LicenceCancellation | None = None
    settlement: LicenceSettlement | None = None

    @property
    def state(self) -> LicenceDisplayState:
        """By the index and the clock, for display; `services.licence_require` decides."""
        if self.settlement is not None:
            return "settled"
        if self.cancellation is not None:
            return "cancelled"
        if self.expires_at is not None and self.expires_at.timestamp() <= self.now:
            return "expired"
        if self.is_suspended:
            return "suspended"
        return "valid"

    @property
    def is_suspended(self) -> bool:
        return self.suspension is not None

    @property
    def is_active(self) -> bool:
        """Whether it may allow something now, as far as the index knows."""
        return self.state == "valid"

    @property
    def settles_at(self) -> datetime | None:
        """From when the refund of a cancelled metered licence is paid."""
        return moment(self.cancellation.settle_at) if self.cancellation is not None else None

    @property
    def is_renewable(self) -> bool:
        """Whether its plan can be renewed and it is neither cancelled nor suspended. An expired one may be renewed."""
        ended = self.state in ("settled", "cancelled", "suspended")
        return self.plan.is_renewable and not self.is_plan_retired and not ended and not self.is_suspended

    @property
    def is_cancellable(self) -> bool:
        return self.state not in ("settled", "cancelled")

    @property
    def refund_text(self) -> str:
        """What a settled licence paid back; empty before."""
        return amount_text(self.settlement.refund, self.plan.token) if self.settlement is not None else ""


def licences_held(holder: str) -> QuerySet[Licence]:
    """Licences whose newest transfer went to this address, newest first. Burned ones have no holder."""
    newer = LicenceTransfer.objects.filter(licence_id=OuterRef("licence_id"), event_id__gt=OuterRef("event_id"))
    held = LicenceTransfer.objects.filter(~Exists(newer), to_address=holder).values("licence_id")
    return Licence.objects.filter(licence_id__in=held).order_by("-event_id")


def licences_once_held(holder: str, *, model_id: int) -> QuerySet[Licence]:
    """The model's licences that were ever transferred to this address, newest first: it may have them still."""
    received = LicenceTransfer.objects.filter(to_address=holder).values("licence_id")
    return Licence.objects.filter(model_id=model_id, licence_id__in=received).order_by("-event_id")


def licence_ids_held(holder: str, *, model_id: int, limit: int) -> list[int]:
    """The address's licences of a model: those that are not over and may run before all others, then newest first.

    By the index and the clock, and only an order: whoever is given an address many junk licences must not hide a good
    one.
    """
    now = model_times([model_id])[model_id].clock(chain_now())
    return _ids_usable_first.rows(limit, holder=holder, model_id=model_id, now=now)


@Prepared
def _ids_usable_first(holder: Any, model_id: Any, now: Any) -> QuerySet[Licence, int]:
    renewals = LicenceRenewal.objects.filter(licence_id=OuterRef("licence_id")).order_by("-event")
    ends = Coalesce(Subquery(renewals.values("expires_at")[:1]), F("expires_at"), output_field=BigIntegerField())
    cancelled = Exists(LicenceCancellation.objects.filter(licence_id=OuterRef("licence_id")))
    may_run = Plan.objects.annotate(can_run=F("flags").bitand(Right.RUN)).filter(can_run__gt=0)
    ended = Q(ends__gt=0, ends__lte=now) | Q(cancelled=True) | ~Q(plan_id__in=may_run.values("plan_id"))
    rows = licences_held(holder).filter(model_id=model_id).annotate(ends=ends, cancelled=cancelled)
    return rows.order_by(Case(When(ended, then=1), default=0), "-event_id").values_list("licence_id", flat=True)


def model_ids_runnable(holder: str, *, licence_id: int | None = None) -> set[int]:
    """The models that the address may run by the index and the clock, of its newest `RUNNABLE_LIMIT` licences.

    With `licence_id`, by that licence alone.
    """
    may_run = Plan.objects.annotate(can_run=F("flags").bitand(Right.RUN)).filter(can_run__gt=0)
    cancelled = LicenceCancellation.objects.filter(licence_id=OuterRef("licence_id"))
    rows = licences_held(holder).filter(~Exists(cancelled), plan_id__in=may_run.values("plan_id"))
    if licence_id is not None:
        rows = rows.filter(licence_id=licence_id)
    views = licence_views(dict.fromkeys(rows.select_related("event")[:RUNNABLE_LIMIT], holder))
    return {view.licence.model_id for view in views if view.is_active}


def licence_list_for_holder(
    holder: str, *, model_id: int | None = None, first: int = 0, limit: int = LIST_LIMIT
) -> list[LicenceView]:
    """The licences that the address holds by the index, newest first, `limit` of them from the one at `first`."""
    rows = licences_held(holder).select_related("event")
    if model_id is not None:
        rows = rows.filter(model_id=model_id)
    return licence_views(dict.fromkeys(rows[first : first + limit], holder))


def licence_list_settled(holder: str, *, first: int = 0, limit: int = LIST_LIMIT) -> list[LicenceView]:
    """The licences that were settled while the address held them, newest settlement first: its history."""
    settled = LicenceSettlement.objects.filter(holder=holder).order_by("-event").values_list("licence_id", flat=True)
    ids = list(settled[first : first + limit])
    rows = {row.licence_id: row for row in Licence.objects.filter(licence_id__in=ids).select_related("event")}
    return licence_views({rows[licence_id]: holder for licence_id in ids if licence_id in rows})


@Prepared
def _with_events(licence_ids: Any) -> QuerySet[Licence]:
    return Licence.objects.filter(licence_id__in=licence_ids).select_related("event")


def licence_list(licence_ids: Sequence[int]) -> list[Licence]:
    """Those of the licences that the index has, with the events that made them, in no order."""
    return _with_events.rows(licence_ids=licence_ids)


def licence_get(licence_id: int) -> LicenceView | None:
    """One licence with its holder, settled ones too; `None` where the index does not have it."""
    row = Licence.objects.filter(licence_id=licence_id).select_related("event").first()
    if row is None:
        return None
    transfers = LicenceTransfer.objects.filter(licence_id=licence_id).order_by("-event_id")
    transfer = next((found for found in transfers[:2] if int(found.to_address, 16)), None)
    return licence_views({row: transfer.to_address if transfer else row.holder})[0]


def licence_require(licence_id: int) -> LicenceView:
    """One licence that the index has. Raises LicenceNotFoundError, also as LicenceReorgedError."""
    view = licence_get(licence_id)
    if view is None:
        raise licence_missing(licence_id)
    return view


def licence_missing(licence_id: int) -> LicenceNotFoundError:
    """Why the index has no such licence: there is none, or there was one until a re-org."""
    removal = removal_of_licence(licence_id)
    if removal is not None:
        return LicenceReorgedError(removal.text("purchase"), licence=str(licence_id), **removal.data)
    text = f"The index holds no licence {licence_id}. A new purchase takes a block to appear."
    return LicenceNotFoundError(text, licence=str(licence_id))


def licence_views(holders: dict[Licence, str]) -> list[LicenceView]:
    """Views of licences with their holders, in the same few queries however many there are."""
    ids = [row.licence_id for row in holders]
    plans = plans_by_id(row.plan_id for row in holders)
    times, now = model_times(row.model_id for row in holders), chain_now()
    status = chain.chain_status()
    renewals, reports = _newest(LicenceRenewal, ids), _newest(UsageReport, ids)
    cancellations, settlements = _newest(LicenceCancellation, ids), _newest(LicenceSettlement, ids)
    retired = set(PlanRetirement.objects.filter(plan_id__in=plans).values_list("plan_id", flat=True))
    views = []
    for row, holder in holders.items():
        renewal = renewals.get(row.licence_id)
        on_clock = renewal.expires_at if renewal else row.expires_at
        of_model, report = times[row.model_id], reports.get(row.licence_id)
        views.append(
            LicenceView(
                licence=row,
                plan=plans[row.plan_id],
                holder=holder,
                finality=finality_of(row.event, status=status),
                expires_at=moment(of_model.block_time(on_clock, now=now) if on_clock else 0),
                calls=renewal.calls if renewal else row.calls,
                used=report.used if report else 0,
                now=now,
                suspension=of_model.suspension(now),
                is_plan_retired=row.plan_id in retired,
                renewal=renewal,
                cancellation=cancellations.get(row.licence_id),
                settlement=settlements.get(row.licence_id),
            )
        )
    return views


def moment(unix_s: int) -> datetime | None:
    """A point in time, `None` for 0 (perpetual, or none). Beyond the calendar's end is its end."""
    if unix_s == 0:
        return None
    return datetime.fromtimestamp(min(unix_s, LAST_MOMENT), UTC)


def _newest(model: type[Row], licence_ids: list[int]) -> dict[int, Row]:
    """The newest row of each licence. One step in an index for each of them: a licence may have thousands of rows."""
    rows = model._default_manager.filter(licence_id=OuterRef("licence_id")).order_by("-event").values("pk")
    licences = Licence.objects.filter(licence_id__in=licence_ids).annotate(newest=Subquery(rows[:1]))
    found = model._default_manager.filter(pk__in=licences.values("newest")).select_related("event")
    return {row.licence_id: row for row in found}
