"""Plans as buyers see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from chain.removals import removal_of_plan
from marketplace.licences.errors import PlanNotFoundError, PlanReorgedError
from marketplace.licences.models import (
    Licence,
    LicenceCancellation,
    LicenceSettlement,
    Plan,
    PlanRetirement,
    Right,
)
from marketplace.licences.selectors.operators import OperatorView, operators_by_id
from marketplace.licences.selectors.times import chain_now, model_times
from marketplace.licences.tokens import amount_text
from models_registry import selectors as registry

LIST_LIMIT = 500
DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as buyers see it. Counts come from the index; the contract enforces the supply.

    `sold` licences were ever sold, `live` of them exist and were not cancelled. `operator` attests use and earns the
    service share; `is_operator_publisher` says that it is the owner of the model, who then counts its own sales.
    """

    plan: Plan
    is_retired: bool
    sold: int
    live: int
    operator: OperatorView | None = None
    is_operator_publisher: bool = False
    is_suspended: bool = False

    @property
    def price_text(self) -> str:
        return amount_text(self.plan.price, self.plan.token) if self.plan.price else "free"

    @property
    def entry_text(self) -> str:
        """The part of the price that is the publisher's at once."""
        return amount_text(self.plan.entry, self.plan.token)

    @property
    def period_text(self) -> str:
        return seconds_text(self.plan.period) if self.plan.period else "perpetual"

    @property
    def vesting_text(self) -> str:
        """How the price becomes the publisher's, in a clause."""
        if not self.plan.price:
            return "nothing to vest"
        if not self.plan.vesting:
            return "at once: nothing comes back"
        how = "until the licence expires" if self.plan.period else f"over {seconds_text(self.plan.vesting)}"
        return f"evenly {how}, or as calls are used, whichever is more" if self.plan.calls else f"evenly {how}"

    @property
    def calls_text(self) -> str:
        return f"{self.plan.calls} calls" if self.plan.calls else "calls without limit"

    @property
    def operator_text(self) -> str:
        """Whose attestation of use the plan relies on."""
        if self.operator is None:
            return f"operator {self.plan.operator_id}" if self.plan.operator_id else "none"
        label = f"operator {self.operator.operator_id}"
        label += ", the publisher itself" if self.is_operator_publisher else ""
        return label + (", disabled: its reports do not count" if self.operator.is_disabled else "")

    @property
    def fee_text(self) -> str:
        return bps_text(self.plan.fee_bps)

    @property
    def service_text(self) -> str:
        return bps_text(self.plan.service_bps)

    @property
    def entry_share_text(self) -> str:
        return bps_text(self.plan.entry_bps if self.plan.vesting else 10_000)

    @property
    def limits(self) -> list[str]:
        """What the contract cannot do for the holder, in sentences, for this plan."""
        return _limits(self.plan, is_operator_publisher=self.is_operator_publisher)

    @property
    def is_sold_out(self) -> bool:
        return self.live >= self.plan.supply

    @property
    def is_on_sale(self) -> bool:
        return not self.is_retired and not self.is_sold_out and not self.is_suspended


def plan_get(plan_id: int) -> PlanView:
    """One plan. Raises PlanNotFoundError."""
    views = plan_views(Plan.objects.filter(plan_id=plan_id))
    if not views:
        raise _plan_missing(plan_id)
    return views[0]


def plan_list_for_model(model_id: int, *, with_retired: bool = False) -> list[PlanView]:
    """The price list of a model in the order in which plans were added."""
    views = plan_views(Plan.objects.filter(model_id=model_id).order_by("plan_id")[:LIST_LIMIT])
    return [view for view in views if with_retired or not view.is_retired]


def plans_by_id(plan_ids: Iterable[int]) -> dict[int, Plan]:
    return {plan.plan_id: plan for plan in Plan.objects.filter(plan_id__in=set(plan_ids))}


def plans_on_sale(model_ids: Iterable[int]) -> dict[int, PlanView]:
    """The first plan on sale of each of several models, for lists of models. Those that sell none are left out."""
    on_sale = Plan.objects.filter(
        ~Exists(PlanRetirement.objects.filter(plan_id=OuterRef("plan_id"))),
        supply__gt=_count(Licence.objects.all())
        - _count(LicenceCancellation.objects.all())
        - _count(settled_uncancelled()),
        model_id=OuterRef("model_id"),
    ).order_by("plan_id")
    # The contract numbers plans from 1: a model that has any has that one, and so one row here.
    firsts = Plan.objects.filter(plan_id__in=[model_id << 32 | 1 for model_id in set(model_ids)])
    found = firsts.annotate(on_sale=Subquery(on_sale.values("pk")[:1])).values("on_sale")
    views = plan_views(Plan.objects.filter(pk__in=found))
    return {view.plan.model_id: view for view in views if view.is_on_sale}


def plan_views(plans: Iterable[Plan]) -> list[PlanView]:
    """Views of plans in their order, in the same few queries however many there are."""
    rows = list(plans)
    ids = [plan.plan_id for plan in rows]
    retired = set(PlanRetirement.objects.filter(plan_id__in=ids).values_list("plan_id", flat=True))
    sold = _counts(Licence.objects.all(), ids)
    cancelled, settled = _counts(LicenceCancellation.objects.all(), ids), _counts(settled_uncancelled(), ids)
    operators = operators_by_id(plan.operator_id for plan in rows)
    owners = registry.model_owners({plan.model_id for plan in rows if plan.operator_id in operators})
    times, now = model_times(plan.model_id for plan in rows), chain_now()
    views = []
    for plan in rows:
        operator, owner = operators.get(plan.operator_id), owners.get(plan.model_id, "")
        count = sold.get(plan.plan_id, 0)
        views.append(
            PlanView(
                plan=plan,
                is_retired=plan.plan_id in retired,
                sold=count,
                live=count - cancelled.get(plan.plan_id, 0) - settled.get(plan.plan_id, 0),
                operator=operator,
                is_operator_publisher=operator is not None and operator.is_run_by(owner),
                is_suspended=times[plan.model_id].suspension(now) is not None,
            )
        )
    return views


def settled_uncancelled() -> QuerySet[LicenceSettlement]:
    """Settlements of licences that nobody cancelled: their models were suspended for long."""
    cancelled = LicenceCancellation.objects.filter(licence_id=OuterRef("licence_id"))
    return LicenceSettlement.objects.filter(~Exists(cancelled))


def bps_text(bps: int) -> str:
    """Basis points as a percentage, exact: `2.5 %`."""
    whole, part = divmod(bps, 100)
    return f"{whole}.{part:02d}".rstrip("0") + " %" if part else f"{whole} %"


def seconds_text(seconds: int) -> str:
    """A duration in the largest unit that fits it exactly."""
    for unit, length in (("day", DAY_S), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}" + ("s" if seconds != length else "")
    return f"{seconds} second" + ("s" if seconds != 1 else "")


def _plan_missing(plan_id: int) -> PlanNotFoundError:
    """There is no such plan, or there was one until a re-org."""
    removal = removal_of_plan(plan_id)
    if removal is not None:
        return PlanReorgedError(removal.text("plan"), plan=str(plan_id), **removal.data)
    return PlanNotFoundError(f"The index holds no plan {plan_id}. Look at the plans of the model.")


def _counts(rows: QuerySet[Any], plan_ids: list[int]) -> dict[int, int]:
    counted = rows.filter(plan_id__in=plan_ids).order_by().values("plan_id").annotate(count=Count("pk"))
    return dict(counted.values_list("plan_id", "count"))


def _count(rows: QuerySet[Any]) -> Coalesce:
    counted = rows.filter(plan_id=OuterRef("plan_id")).order_by().values("plan_id").annotate(count=Count("pk"))
    return Coalesce(Subquery(counted.values("count")), 0)


def _limits(plan: Plan, *, is_operator_publisher: bool) -> list[str]:
    limits = []
    if plan.price and plan.vesting:
        limits.append(
            "The contract cannot see whether a model works. It lets you leave at any time with what has not vested."
        )
    elif plan.price:
        limits.append("The whole price is the publisher's at once: cancelling pays nothing back.")
    if plan.calls:
        who = "the publisher itself" if is_operator_publisher else f"operator {plan.operator_id}"
        limits.append(f"Calls are counted by {who}. Its count is an upper bound of what can be kept for use.")
    if plan.flags & Right.DOWNLOAD:
        limits.append("Asking for the download key vests everything. Copies already made cannot be called back.")
    if plan.price and int(plan.token, 16):
        limits.append("If the issuer of the token freezes the market's account, money in that token waits there.")
    return limits
