"""Renewals: what has not vested blends into the new term, whoever pays and whenever."""

import pytest

from tests.contracts_model.conftest import FEE_BPS, Cast
from tests.contracts_model.states import DAY, DOWNLOAD, RENEWABLE, RUN, TRANSFERABLE
from tests.contracts_model.twin import Twin

PRICE = 29_999_989
MONTH = 30 * DAY


@pytest.fixture
def month(twin: Twin, cast: Cast, model_id: int) -> int:
    return twin.add_plan(
        model_id,
        by=cast.publisher,
        token=twin.usd,
        price=PRICE,
        period=MONTH,
        vesting=MONTH,
        entryBps=1_999,
        flags=RUN | RENEWABLE | TRANSFERABLE,
    )


@pytest.fixture
def metered(twin: Twin, cast: Cast, model_id: int, operator_id: int) -> int:
    """Perpetual calls that vest by use, or in 90 days."""
    terms = {"price": PRICE, "vesting": 90 * DAY, "calls": 700, "operatorId": operator_id, "serviceBps": 5_000}
    return twin.add_plan(model_id, by=cast.publisher, **terms, flags=RUN | RENEWABLE)


@pytest.mark.parametrize("after", [1, 20 * DAY + 11, MONTH - 1, MONTH, MONTH + 1, 2 * MONTH])
def test_renewal_whenever_it_comes_takes_nothing_from_the_holder(
    twin: Twin, cast: Cast, month: int, after: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.wait(after)
    back = twin.model.licences[licence_id].amount - twin.model.vested(licence_id)
    twin.renew(licence_id, by=cast.buyer)
    entry = PRICE * 1_999 // 10_000
    # The second in which the renewal itself is mined vests a little more.
    a_second = 1 + PRICE // MONTH
    assert 0 <= back - (twin.model.licences[licence_id].amount - PRICE + entry) <= a_second
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=7 * DAY)


def test_renewal_by_a_stranger_is_the_holders(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.renew(licence_id, by=cast.outsider, after=DAY)
    twin.cancel(licence_id, cast.outsider, by=cast.outsider)
    assert twin.error == "NotHolder"
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer)


def test_renewals_in_a_row_add_up(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    first = twin.model.licences[licence_id].expiry
    for after in (1, 3 * DAY, 40 * DAY, 5):
        twin.renew(licence_id, by=cast.friend, after=after)
        twin.collect([licence_id], by=cast.outsider, after=2 * DAY)
    assert twin.model.licences[licence_id].expiry == first + 4 * MONTH
    twin.transfer(licence_id, cast.friend, by=cast.buyer)
    assert twin.cancel(licence_id, cast.friend, by=cast.friend, after=11 * DAY)


def test_renewal_of_calls_vests_by_those_that_are_left(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.report([licence_id], [333], by=cast.key, after=DAY)
    twin.renew(licence_id, by=cast.buyer, after=DAY)
    licence = twin.model.licences[licence_id]
    assert (licence.base, licence.total, licence.taken) == (333, 1_400, 0)
    assert licence.amount == PRICE - PRICE * 333 // 700 + PRICE
    twin.report([licence_id], [866], by=cast.key, after=DAY)
    assert twin.model.vested(licence_id) == licence.amount * 533 // 1_067
    twin.report([licence_id, licence_id], [1_401, 1_400], by=cast.key)
    assert twin.model.vested(licence_id) == licence.amount


def test_renewal_that_is_not_offered_is_refused(twin: Twin, cast: Cast, model_id: int, month: int) -> None:
    once = twin.add_plan(model_id, by=cast.publisher, price=1, period=DAY, flags=RUN | DOWNLOAD)
    twin.renew(twin.buy(once, by=cast.buyer), by=cast.buyer)
    assert twin.error == "NotRenewable"
    licence_id = twin.buy(month, by=cast.buyer)
    twin.retire_plan(month, by=cast.publisher)
    twin.renew(licence_id, by=cast.buyer)
    assert twin.error == "PlanIsRetired"
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=DAY)


def test_renewal_while_paused_or_without_its_token_is_refused_and_leaving_is_not(
    twin: Twin, cast: Cast, month: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("set_paused", True, by=cast.guardian)
    twin.renew(licence_id, by=cast.buyer)
    assert twin.error == "SalesPaused"
    twin.role("set_paused", False, by=cast.admin)
    twin.role("set_token_allowed", twin.usd, False, by=cast.admin)
    twin.renew(licence_id, by=cast.buyer)
    assert twin.error == "TokenNotAllowed"
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=DAY)


def test_renewal_after_a_change_of_the_fee_keeps_the_plans_fee(
    twin: Twin, cast: Cast, model_id: int, month: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("set_fee_bps", 500, by=cast.admin)
    twin.renew(licence_id, by=cast.buyer, after=10 * DAY)
    earned = twin.model.plans[month].earned
    assert twin.split(month, by=cast.outsider).fee == earned * FEE_BPS // 10_000
    assert twin.add_plan(model_id, by=cast.publisher, price=1) == month + 1
    twin.add_plan(model_id, by=cast.publisher, price=1, feeBps=FEE_BPS)
    assert twin.error == "FeeDiffers"


def test_renewal_of_a_plan_that_vests_at_once_holds_nothing(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE, period=DAY, flags=RUN | RENEWABLE)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    twin.renew(licence_id, by=cast.buyer, after=3 * DAY)
    assert twin.model.plans[plan_id].earned == 2 * PRICE
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer) == 0
