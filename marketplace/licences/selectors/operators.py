"""Operators: who attests use, under which plans, and what they earn."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from chain import selectors as chain
from chain.prepared import Prepared
from marketplace.licences.errors import OperatorNotFoundError
from marketplace.licences.models import (
    AccountWithdrawal,
    IncomeSplit,
    Operator,
    OperatorChange,
    OperatorDisablement,
    Plan,
)
from marketplace.licences.selectors.settled_income import account_credits_final
from marketplace.licences.shares import unsplit_shares
from marketplace.licences.tokens import NATIVE, amount_text

PLANS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class OperatorView:
    """An operator as it is now by the index."""

    operator_id: int
    owner: str
    key: str
    payee: str
    is_disabled: bool

    def is_run_by(self, address: str) -> bool:
        """Whether the address owns it, signs for it or is paid by it."""
        return address.lower() in {self.owner.lower(), self.key.lower(), self.payee.lower()}


@dataclass(frozen=True, slots=True)
class AccountIncome:
    """Service shares and fees of an account in one token, in its smallest unit. `available` the chain said just now.

    `earned_final` was credited in blocks that no re-org can remove.
    """

    account: str
    token: str
    earned: int
    withdrawn: int
    available: int
    earned_final: int

    @property
    def earned_not_final(self) -> int:
        return self.earned - self.earned_final

    @property
    def earned_not_final_text(self) -> str:
        return amount_text(self.earned_not_final, self.token)

    @property
    def earned_text(self) -> str:
        return amount_text(self.earned, self.token)

    @property
    def withdrawn_text(self) -> str:
        return amount_text(self.withdrawn, self.token)

    @property
    def available_text(self) -> str:
        return amount_text(self.available, self.token)


@dataclass(frozen=True, slots=True)
class OperatorDetail:
    """An operator, the newest plans that name it, its service shares per token, and what its payee may withdraw.

    `service_earned` is in each token's smallest unit; `unsplit` is what splitting those plans now would add to it.
    """

    operator: OperatorView
    plans: list[Plan]
    plan_count: int
    service_earned: dict[str, int] = field(default_factory=dict)
    unsplit: dict[str, int] = field(default_factory=dict)
    payee_income: list[AccountIncome] = field(default_factory=list)

    @property
    def service_texts(self) -> list[str]:
        return [amount_text(amount, token) for token, amount in sorted(self.service_earned.items())]

    @property
    def unsplit_texts(self) -> list[str]:
        return [amount_text(amount, token) for token, amount in sorted(self.unsplit.items()) if amount]


def operators_by_id(operator_ids: Iterable[int]) -> dict[int, OperatorView]:
    """The operators that the index has among these, in three queries; none where no id is given."""
    ids = set(operator_ids) - {0}
    if not ids:
        return {}
    changes = OperatorChange.objects.filter(operator_id=OuterRef("operator_id")).order_by("-event").values("pk")
    changed = Operator.objects.filter(operator_id__in=ids).annotate(newest=Subquery(changes[:1])).values("newest")
    newest = {change.operator_id: change for change in OperatorChange.objects.filter(pk__in=changed)}
    disabled = set(OperatorDisablement.objects.filter(operator_id__in=ids).values_list("operator_id", flat=True))
    return {
        row.operator_id: OperatorView(
            operator_id=row.operator_id,
            owner=row.owner,
            key=newest[row.operator_id].key if row.operator_id in newest else row.key,
            payee=newest[row.operator_id].payee if row.operator_id in newest else row.payee,
            is_disabled=row.operator_id in disabled,
        )
        for row in Operator.objects.filter(operator_id__in=ids)
    }


def operator_key_indexed(operator_id: int) -> str | None:
    """The key that the operator has by the index, whether disabled or not; `None` where that holds no such operator."""
    return _key_now.first(operator_id=operator_id)


@Prepared
def _key_now(operator_id: Any) -> QuerySet[Operator, str]:
    changes = OperatorChange.objects.filter(operator_id=OuterRef("operator_id")).order_by("-event").values("key")
    rows = Operator.objects.filter(operator_id=operator_id).annotate(key_now=Coalesce(Subquery(changes[:1]), F("key")))
    return rows.values_list("key_now", flat=True)


def operator_get(operator_id: int) -> OperatorView:
    """One operator. Raises OperatorNotFoundError."""
    found = operators_by_id([operator_id]) if 0 < operator_id < 2**32 else {}
    if operator_id not in found:
        raise OperatorNotFoundError(f"The index holds no operator {operator_id}. A new one takes a block to appear.")
    return found[operator_id]


def operator_list_for_owner(address: str) -> list[OperatorView]:
    """The operators that the address registered, oldest first."""
    ids = Operator.objects.filter(owner=address).order_by("operator_id").values_list("operator_id", flat=True)
    found = operators_by_id(ids[:PLANS_SHOWN])
    return [found[operator_id] for operator_id in sorted(found)]


def operator_detail(operator_id: int) -> OperatorDetail:
    """An operator with its plans and money. Raises OperatorNotFoundError, and what the gateway raises."""
    operator = operator_get(operator_id)
    rows = Plan.objects.filter(operator_id=operator_id).order_by("-event")
    plans, count = list(rows[:PLANS_SHOWN]), rows.count()
    tokens = set(rows.order_by().values_list("token", flat=True).distinct())
    earned: dict[str, int] = defaultdict(int)
    for token, service in IncomeSplit.objects.filter(plan_id__in=rows.values("plan_id")).values_list(
        "token", "service"
    ):
        earned[token] += service
    return OperatorDetail(
        operator=operator,
        plans=plans,
        plan_count=count,
        service_earned={token: earned[token] for token in tokens},
        unsplit=_service_unsplit(plans),
        payee_income=operator_income_for_payee(operator.payee),
    )


def operator_income_for_payee(address: str) -> list[AccountIncome]:
    """Service shares and fees of the account per token, the native coin first. Raises what the gateway raises."""
    earned: dict[str, int] = defaultdict(int)
    for token, service in IncomeSplit.objects.filter(payee=address).values_list("token", "service"):
        earned[token] += service
    for token, fee in IncomeSplit.objects.filter(treasury=address).values_list("token", "fee"):
        earned[token] += fee
    withdrawn: dict[str, int] = defaultdict(int)
    for token, amount in AccountWithdrawal.objects.filter(account=address).values_list("token", "amount"):
        withdrawn[token] += amount
    tokens = sorted(set(earned) | set(withdrawn), key=lambda token: (token != NATIVE, token))
    credits = chain.account_credits([(address, token) for token in tokens])
    final = account_credits_final(address)
    return [
        AccountIncome(address, token, earned[token], withdrawn[token], credits[address, token], final.get(token, 0))
        for token in tokens
    ]


def _service_unsplit(plans: list[Plan]) -> dict[str, int]:
    statuses = chain.plan_states([plan.plan_id for plan in plans])
    sums: dict[str, int] = defaultdict(int)
    for plan in plans:
        if plan.plan_id in statuses:
            state = statuses[plan.plan_id].state
            sums[plan.token] += unsplit_shares(plan, earned=state.earned_units, split=state.split_units).service
    return dict(sums)
