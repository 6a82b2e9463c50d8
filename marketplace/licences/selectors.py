"""Reads about plans, licences and income. For showing only: whether a licence is valid is asked of the chain."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from chain import selectors as chain
from marketplace.licences.errors import PlanNotFoundError
from marketplace.licences.models import Licence, LicenceTransfer, Plan, PlanRetirement, Right, Withdrawal
from marketplace.licences.tokens import amount_text
from models_registry import selectors as registry

# Blocks on top of a purchase, its own included, from which pages call it confirmed. Running needs one.
CONFIRMATIONS = 2
LIST_LIMIT = 500


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as buyers see it. `sold` comes from the index; the contract enforces the supply."""

    plan: Plan
    is_retired: bool
    sold: int

    @property
    def price_text(self) -> str:
        return amount_text(self.plan.price, self.plan.token) if self.plan.price else "free"

    @property
    def is_sold_out(self) -> bool:
        return self.sold >= self.plan.supply

    @property
    def is_on_sale(self) -> bool:
        return not self.is_retired and not self.is_sold_out


@dataclass(frozen=True, slots=True)
class LicenceView:
    """A licence as its holder sees it. `depth` counts blocks from the purchase to the head, its own included."""

    licence: Licence
    plan: Plan
    holder: str
    depth: int
    expires_at: datetime | None

    @property
    def state(self) -> Literal["pending", "confirmed", "expired"]:
        """By the index and the server's clock, for display; `services.licence_require` decides."""
        if self.expires_at is not None and self.expires_at <= timezone.now():
            return "expired"
        return "confirmed" if self.depth >= CONFIRMATIONS else "pending"


@dataclass(frozen=True, slots=True)
class IncomeView:
    """Money of one model in one token, in its smallest unit. `available` is what `credit` said on chain just now."""

    model_id: int
    token: str
    earned: int
    withdrawn: int
    available: int

    @property
    def available_text(self) -> str:
        return amount_text(self.available, self.token)

    @property
    def earned_text(self) -> str:
        return amount_text(self.earned, self.token)

    @property
    def withdrawn_text(self) -> str:
        return amount_text(self.withdrawn, self.token)


def plan_get(plan_id: int) -> PlanView:
    """One plan. Raises PlanNotFoundError."""
    views = _plan_views(Plan.objects.filter(plan_id=plan_id))
    if not views:
        raise PlanNotFoundError(f"The index holds no plan {plan_id}. Look at the plans of the model.")
    return views[0]


def plan_list_for_model(model_id: int, *, with_retired: bool = False) -> list[PlanView]:
    """The price list of a model in the order in which plans were added."""
    views = _plan_views(Plan.objects.filter(model_id=model_id).order_by("plan_id")[:LIST_LIMIT])
    return [view for view in views if with_retired or not view.is_retired]


def plans_by_id(plan_ids: Iterable[int]) -> dict[int, Plan]:
    return {plan.plan_id: plan for plan in Plan.objects.filter(plan_id__in=set(plan_ids))}


def plans_on_sale(model_ids: Iterable[int]) -> dict[int, PlanView]:
    """The first plan on sale of each of several models, for lists of models. Those that sell none are left out."""
    sold = Licence.objects.filter(plan_id=OuterRef("plan_id")).order_by().values("plan_id")
    on_sale = Plan.objects.filter(
        ~Exists(PlanRetirement.objects.filter(plan_id=OuterRef("plan_id"))),
        supply__gt=Coalesce(Subquery(sold.annotate(count=Count("pk")).values("count")), 0),
        model_id=OuterRef("model_id"),
    ).order_by("plan_id")
    # The contract numbers plans from 1: a model that has any has that one, and so one row here.
    firsts = Plan.objects.filter(plan_id__in=[model_id << 32 | 1 for model_id in set(model_ids)])
    found = firsts.annotate(on_sale=Subquery(on_sale.values("pk")[:1])).values("on_sale")
    return {view.plan.model_id: view for view in _plan_views(Plan.objects.filter(pk__in=found))}


def licences_held(holder: str) -> QuerySet[Licence]:
    """Licences whose newest transfer went to this address, newest first."""
    newer = LicenceTransfer.objects.filter(licence_id=OuterRef("licence_id"), event_id__gt=OuterRef("event_id"))
    held = LicenceTransfer.objects.filter(~Exists(newer), to_address=holder).values("licence_id")
    return Licence.objects.filter(licence_id__in=held).order_by("-event_id")


def licences_held_usable_first(holder: str, *, model_id: int) -> QuerySet[Licence]:
    """The address's licences of a model: those that have not expired and may run before all others, then newest first.

    By the server's clock, and only an order: whoever is given an address many junk licences must not hide a good one.
    """
    ended = Q(expires_at__gt=0, expires_at__lte=int(timezone.now().timestamp()))
    may_run = Plan.objects.annotate(can_run=F("flags").bitand(Right.RUN)).filter(can_run__gt=0)
    no_use = Case(When(ended | ~Q(plan_id__in=may_run.values("plan_id")), then=1), default=0)
    return licences_held(holder).filter(model_id=model_id).order_by(no_use, "-event_id")


def licence_list_for_holder(
    holder: str, *, model_id: int | None = None, first: int = 0, limit: int = LIST_LIMIT
) -> list[LicenceView]:
    """The licences that the address holds by the index, newest first, `limit` of them from the one at `first`."""
    rows = licences_held(holder).select_related("event")
    if model_id is not None:
        rows = rows.filter(model_id=model_id)
    return _licence_views(list(rows[first : first + limit]), holder)


def licence_get(licence_id: int) -> LicenceView | None:
    """One licence with its holder, `None` where the index does not have it."""
    row = Licence.objects.filter(licence_id=licence_id).select_related("event").first()
    if row is None:
        return None
    transfer = LicenceTransfer.objects.filter(licence_id=licence_id).order_by("-event_id").first()
    return _licence_views([row], transfer.to_address if transfer else row.holder)[0]


def income_for_models(model_ids: Iterable[int]) -> dict[int, list[IncomeView]]:
    """Income of each model per token. One batch of `eth_call`s for all: raises what the gateway raises."""
    sums = {model_id: _income_sums(model_id) for model_id in set(model_ids)}
    credits = chain.model_credits((model_id, token) for model_id, tokens in sums.items() for token in tokens)
    return {
        model_id: [
            IncomeView(model_id, token, earned, withdrawn, credits[model_id, token])
            for token, (earned, withdrawn) in sorted(tokens.items())
        ]
        for model_id, tokens in sums.items()
    }


def _income_sums(model_id: int) -> dict[str, tuple[int, int]]:
    """Per token what a model earned and what was withdrawn, by the index."""
    earned: dict[str, int] = dict.fromkeys(Plan.objects.filter(model_id=model_id).values_list("token", flat=True), 0)
    prices = dict(Plan.objects.filter(model_id=model_id).values_list("plan_id", "token"))
    for plan_id, price in Licence.objects.filter(model_id=model_id).values_list("plan_id", "price").iterator():
        earned[prices[plan_id]] += price
    withdrawn = dict.fromkeys(earned, 0)
    for token, amount in Withdrawal.objects.filter(model_id=model_id).values_list("token", "amount").iterator():
        withdrawn[token] = withdrawn.get(token, 0) + amount
    return {token: (earned[token], withdrawn[token]) for token in earned}


def income_for_owner(owner: str) -> list[IncomeView]:
    """Income of every model whose token the address owns. Raises what the gateway raises."""
    ids = registry.model_ids_owned_by(owner)
    found = income_for_models(ids)
    return [view for model_id in ids for view in found[model_id]]


def _plan_views(plans: Iterable[Plan]) -> list[PlanView]:
    rows = list(plans)
    ids = [plan.plan_id for plan in rows]
    retired = set(PlanRetirement.objects.filter(plan_id__in=ids).values_list("plan_id", flat=True))
    counts = Licence.objects.filter(plan_id__in=ids).order_by().values("plan_id").annotate(count=Count("pk"))
    sold: dict[int, int] = dict(counts.values_list("plan_id", "count"))
    return [PlanView(plan, plan.plan_id in retired, sold.get(plan.plan_id, 0)) for plan in rows]


def _licence_views(rows: list[Licence], holder: str) -> list[LicenceView]:
    head = chain.chain_status().head or 0
    plans = plans_by_id(row.plan_id for row in rows)
    return [
        LicenceView(
            licence=row,
            plan=plans[row.plan_id],
            holder=holder,
            depth=max(head - row.event.block_number + 1, 0),
            expires_at=_moment(row.expires_at),
        )
        for row in rows
    ]


def _moment(unix_s: int) -> datetime | None:
    """A point in time, `None` for 0 (perpetual). Beyond the calendar's end is its end."""
    if unix_s == 0:
        return None
    return datetime.fromtimestamp(min(unix_s, 253_402_300_799), UTC)
