"""What a metered plan's calls are worth, and who attests them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Max, QuerySet

from chain import selectors as chain
from chain.finality import final_block
from chain.prepared import Prepared
from marketplace.licences.models import Licence, LicenceRenewal, Plan
from marketplace.licences.selectors.licences import licence_views
from marketplace.licences.tokens import NATIVE, token_get


@dataclass(frozen=True, slots=True)
class MeteredTerms:
    """Of a plan, `price` being in its token's smallest unit, for `calls` calls."""

    plan_id: int
    token: str
    price: int
    calls: int
    operator_id: int

    def value_of(self, calls: int) -> int:
        """What so many calls are worth, rounded down."""
        return self.price * calls // self.calls if self.calls else 0

    @property
    def report_value(self) -> int:
        """From which value on calls are reported, in the token's smallest unit; of an unknown token a hundredth of the
        price, because nobody here knows what its units are."""
        token = token_get(self.token)
        if token is None:
            return max(self.price // 100, 1)
        whole = settings.USAGE_REPORT_VALUE_COIN if self.token == NATIVE else settings.USAGE_REPORT_VALUE
        return max(int(Decimal(whole).scaleb(token.decimals)), 1)

    def is_worth_a_report(self, calls: int) -> bool:
        return self.value_of(calls) >= self.report_value

    def is_too_much(self, calls: int) -> bool:
        """Whether so many unreported calls are more than the site may have outstanding."""
        return self.value_of(calls) >= self.report_value * settings.USAGE_UNREPORTED_MOST

    def most_at_once(self) -> int:
        """How many calls of a price may begin where all are reported: the last one begins below the bound."""
        bound: int = self.report_value * settings.USAGE_UNREPORTED_MOST
        return -(-bound * self.calls // max(self.price, 1))


def metered_terms(plan_ids: Iterable[int]) -> dict[int, MeteredTerms]:
    """Terms of those of the plans that count calls: of the index, and of the chain where the index lacks one.

    Raises what the gateway raises.
    """
    wanted = set(plan_ids)
    found = {
        row.plan_id: MeteredTerms(row.plan_id, row.token, row.price, row.calls, row.operator_id)
        for row in _plans.rows(plan_ids=wanted)
    }
    missing = wanted - found.keys()
    for plan_id, status in (chain.plan_states(missing) if missing else {}).items():
        terms = status.terms
        found[plan_id] = MeteredTerms(plan_id, terms.token, terms.price_units, terms.calls, terms.operator_id)
    return {plan_id: terms for plan_id, terms in found.items() if terms.calls}


@Prepared
def _plans(plan_ids: Any) -> QuerySet[Plan]:
    return Plan.objects.filter(plan_id__in=plan_ids)


@dataclass(frozen=True, slots=True)
class ReportedUse:
    """What the index knows of a licence's calls: `calls` bought over its life, `used` of them reported on chain.

    Of renewals only final ones count: the market skips a report of calls that a re-org took away. `purchase` is the
    transaction that bought it, in the block `block_number`.
    """

    licence_id: int
    plan_id: int
    purchase: str
    block_number: int
    calls: int
    used: int
    is_cancelled: bool
    is_settled: bool


def reported_uses(licence_ids: Iterable[int]) -> dict[int, ReportedUse]:
    """The metered ones of these licences that the index has."""
    ids = set(licence_ids)
    rows = Licence.objects.filter(licence_id__in=ids).select_related("event")
    # Calls count over the licence's life: the newest renewal has the most.
    final = LicenceRenewal.objects.filter(licence_id__in=ids, event__block_number__lte=final_block())
    renewed = dict(final.values_list("licence_id").annotate(Max("calls")))
    return {
        view.licence.licence_id: ReportedUse(
            licence_id=view.licence.licence_id,
            plan_id=view.plan.plan_id,
            purchase=view.licence.event.tx_hash,
            block_number=view.licence.event.block_number,
            calls=max(renewed.get(view.licence.licence_id, 0), view.licence.calls),
            used=view.used,
            is_cancelled=view.cancellation is not None,
            is_settled=view.settlement is not None,
        )
        for view in licence_views(dict.fromkeys(rows, ""))
        if view.calls
    }
