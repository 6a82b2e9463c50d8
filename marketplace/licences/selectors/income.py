"""Income of models, as their owner sees it: what buyers' money is held, vested, collected, shared out, withdrawable.

    held      paid, not vested: the holders could still take it along
    vested    vested, not collected: `collect` makes it the plan's income
    unsplit   the plan's income, not shared out: `split` credits it to those who share it
    available credited to the model: `withdraw` pays it to the model's owner

The first three are gross, `available` is net. The index knows which licences hold something; the chain says how much.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.db.models import F, OuterRef, Subquery

from chain import entitlements
from chain import selectors as chain
from chain.selectors import LicenceState
from marketplace.licences.models import AncestorCredit, Holding, Licence, Plan, Withdrawal
from marketplace.licences.selectors.plans import PlanView, bps_text, plan_views
from marketplace.licences.selectors.settled_income import model_credits_final, sales_not_final
from marketplace.licences.shares import WHOLE_BPS, unsplit_shares
from marketplace.licences.tokens import amount_text
from models_registry import selectors as registry
from models_registry.selectors import AncestorShare

# `LicenceMarket.BATCH`.
COLLECT_BATCH = 50
# Licences of which the chain is asked in one look; the rest counts as held.
ASKED_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class ShareView:
    """One who shares a plan's income. `bps` is of `of`; `account` is empty for models."""

    kind: Literal["fee", "service", "ancestor", "publisher"]
    bps: int
    of: Literal["income", "what is left"]
    account: str = ""
    model_id: int = 0
    unsplit: int = 0

    @property
    def bps_text(self) -> str:
        return bps_text(self.bps)


@dataclass(frozen=True, slots=True)
class PlanIncome:
    """Income of one plan in its token's smallest unit. `collectable` has licence ids in batches for `collect`.

    `unasked` licences hold something and were not looked at, because there are too many: they count as held.
    """

    view: PlanView
    held: int
    vested: int
    earned: int
    unsplit: int
    collectable: list[list[int]]
    shares: list[ShareView]
    unasked: int = 0

    @property
    def is_split_due(self) -> bool:
        return self.unsplit > 0

    @property
    def publisher_unsplit(self) -> int:
        """What splitting now would credit to the plan's own model."""
        return sum(share.unsplit for share in self.shares if share.kind == "publisher")

    def text(self, amount: int) -> str:
        return amount_text(amount, self.view.plan.token)

    @property
    def held_text(self) -> str:
        return self.text(self.held)

    @property
    def vested_text(self) -> str:
        return self.text(self.vested)

    @property
    def earned_text(self) -> str:
        return self.text(self.earned)

    @property
    def unsplit_text(self) -> str:
        return self.text(self.unsplit)

    @property
    def publisher_unsplit_text(self) -> str:
        return self.text(self.publisher_unsplit)


@dataclass(frozen=True, slots=True)
class IncomeView:
    """Money of one model in one token, in its smallest unit. `earned` was credited to the model over all.

    `earned_final` of it was credited in blocks that no re-org can remove. `sales_not_final` is what buyers paid in
    blocks that one still could; it is not a part of the others.
    `plans` are those of the model in this token; a model that only earns as an ancestor has none.
    """

    model_id: int
    token: str
    held: int
    vested: int
    unsplit: int
    available: int
    withdrawn: int
    plans: list[PlanIncome]
    credited_final: int = 0
    sales_not_final: int = 0

    @property
    def earned(self) -> int:
        return self.available + self.withdrawn

    @property
    def earned_final(self) -> int:
        # The chain was asked at its newest block, the index may be ahead of the answer or behind it.
        return min(self.credited_final, self.earned)

    @property
    def earned_not_final(self) -> int:
        return self.earned - self.earned_final

    @property
    def earned_final_text(self) -> str:
        return amount_text(self.earned_final, self.token)

    @property
    def earned_not_final_text(self) -> str:
        return amount_text(self.earned_not_final, self.token)

    @property
    def sales_not_final_text(self) -> str:
        return amount_text(self.sales_not_final, self.token)

    @property
    def held_text(self) -> str:
        return amount_text(self.held, self.token)

    @property
    def vested_text(self) -> str:
        return amount_text(self.vested, self.token)

    @property
    def unsplit_text(self) -> str:
        return amount_text(self.unsplit, self.token)

    @property
    def available_text(self) -> str:
        return amount_text(self.available, self.token)

    @property
    def earned_text(self) -> str:
        return amount_text(self.earned, self.token)

    @property
    def withdrawn_text(self) -> str:
        return amount_text(self.withdrawn, self.token)


def income_for_owner(owner: str) -> list[IncomeView]:
    """Income of every model whose token the address owns. Raises what the gateway raises."""
    ids = registry.model_ids_owned_by(owner)
    found = income_for_models(ids)
    return [view for model_id in ids for view in found[model_id]]


def income_for_models(model_ids: Iterable[int]) -> dict[int, list[IncomeView]]:
    """Income of each model per token. A few batches of requests for all: raises what the gateway raises."""
    ids = set(model_ids)
    plans = plan_incomes(plan_views(Plan.objects.filter(model_id__in=ids).order_by("plan_id")))
    withdrawn = _withdrawn(ids)
    pairs = {(plan.view.plan.model_id, plan.view.plan.token) for plan in plans} | set(withdrawn) | _ancestor_pairs(ids)
    credits = chain.model_credits(sorted(pairs))
    plan_ids = [plan.view.plan.plan_id for plan in plans]
    final, young = model_credits_final(ids, plan_ids), sales_not_final(plan_ids)
    found: dict[int, list[IncomeView]] = {model_id: [] for model_id in ids}
    for model_id, token in sorted(pairs):
        own = [plan for plan in plans if (plan.view.plan.model_id, plan.view.plan.token) == (model_id, token)]
        found[model_id].append(
            IncomeView(
                model_id=model_id,
                token=token,
                held=sum(plan.held for plan in own),
                vested=sum(plan.vested for plan in own),
                unsplit=sum(plan.unsplit for plan in own),
                available=credits[model_id, token],
                withdrawn=withdrawn.get((model_id, token), 0),
                plans=own,
                credited_final=final.get((model_id, token), 0),
                sales_not_final=sum(young.get(plan.view.plan.plan_id, 0) for plan in own),
            )
        )
    return found


def plan_incomes(views: list[PlanView]) -> list[PlanIncome]:
    """Income of plans, in their order. Raises what the gateway raises."""
    ids = [view.plan.plan_id for view in views]
    holdings = _holdings(ids)
    held = [row.licence_id for rows in holdings.values() for row in rows]
    states = entitlements.licence_states(held[:ASKED_LIMIT], not_before=chain.index_block())
    statuses = chain.plan_states(ids)
    sharers = _Sharers(
        ancestors=registry.ancestors_of({view.plan.model_id for view in views}),
        treasury=chain.market_settings().treasury if any(view.plan.fee_bps for view in views) else "",
    )
    incomes = []
    for view in views:
        status = statuses.get(view.plan.plan_id)
        earned, split = (status.state.earned_units, status.state.split_units) if status else (0, 0)
        rows = holdings.get(view.plan.plan_id, [])
        known = [states[row.licence_id] for row in rows if row.licence_id in states]
        unasked = [row for row in rows if row.licence_id not in states]
        incomes.append(
            PlanIncome(
                view=view,
                held=sum(state.refund_units for state in known) + sum(row.amount - row.taken for row in unasked),
                vested=sum(state.vested_units - state.taken_units for state in known),
                earned=earned,
                unsplit=earned - split,
                collectable=_batches(known),
                shares=sharers.views(view, earned=earned, split=split),
                unasked=len(unasked),
            )
        )
    return incomes


@dataclass(frozen=True, slots=True)
class _Sharers:
    """Who shares the income of several models beside their owners and operators."""

    ancestors: dict[int, list[AncestorShare]]
    treasury: str

    def views(self, view: PlanView, *, earned: int, split: int) -> list[ShareView]:
        plan, ancestors = view.plan, self.ancestors.get(view.plan.model_id, [])
        unsplit = unsplit_shares(plan, earned=earned, split=split, ancestor_bps=[share.bps for share in ancestors])
        shares = []
        if plan.fee_bps:
            shares.append(ShareView("fee", plan.fee_bps, "income", account=self.treasury, unsplit=unsplit.fee))
        if plan.service_bps:
            payee = view.operator.payee if view.operator else ""
            shares.append(ShareView("service", plan.service_bps, "income", account=payee, unsplit=unsplit.service))
        for share, part in zip(ancestors, unsplit.ancestors, strict=True):
            shares.append(ShareView("ancestor", share.bps, "what is left", model_id=share.model_id, unsplit=part))
        rest = WHOLE_BPS - sum(share.bps for share in ancestors)
        own = ShareView("publisher", rest, "what is left", model_id=plan.model_id, unsplit=unsplit.publisher)
        return [*shares, own]


def _batches(states: list[LicenceState]) -> list[list[int]]:
    """The licences of which something can be collected, most first, as many at once as the contract takes."""
    fresh = {state.licence_id: state.vested_units - state.taken_units for state in states}
    ids = sorted((licence_id for licence_id, amount in fresh.items() if amount), key=lambda key: (-fresh[key], key))
    return [ids[start : start + COLLECT_BATCH] for start in range(0, len(ids), COLLECT_BATCH)]


def _holdings(plan_ids: list[int]) -> dict[int, list[Holding]]:
    """By plan, the newest holding of each licence of which something is not collected yet, oldest first."""
    newest = Holding.objects.filter(licence_id=OuterRef("licence_id")).order_by("-event").values("pk")
    licences = Licence.objects.filter(plan_id__in=plan_ids).annotate(newest=Subquery(newest[:1]))
    rows = Holding.objects.filter(pk__in=licences.values("newest")).exclude(amount=F("taken"))
    found: dict[int, list[Holding]] = defaultdict(list)
    for row in rows.order_by("event"):
        found[row.plan_id].append(row)
    return found


def _withdrawn(model_ids: set[int]) -> dict[tuple[int, str], int]:
    sums: dict[tuple[int, str], int] = defaultdict(int)
    rows = Withdrawal.objects.filter(model_id__in=model_ids)
    for model_id, token, amount in rows.values_list("model_id", "token", "amount"):
        sums[model_id, token] += amount
    return sums


def _ancestor_pairs(model_ids: set[int]) -> set[tuple[int, str]]:
    rows = AncestorCredit.objects.filter(model_id__in=model_ids).order_by()
    return set(rows.values_list("model_id", "token").distinct())
