"""Suspension: the model's clock stands, nothing is lost, and it ends by itself unless the admin confirms it."""

import pytest

from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import DAY, RENEWABLE, RUN, SETTLE_AFTER, SUSPENSION
from tests.contracts_model.twin import Twin

PRICE = 30_000_000
MONTH = 30 * DAY
REASON = "0x" + "77" * 32


@pytest.fixture
def month(twin: Twin, cast: Cast, model_id: int) -> int:
    terms = {"price": PRICE, "period": MONTH, "vesting": MONTH, "flags": RUN | RENEWABLE}
    return twin.add_plan(model_id, by=cast.publisher, **terms)


def test_suspension_shifts_vesting_and_expiry_by_its_length(twin: Twin, cast: Cast, model_id: int, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    ends = twin.model.licence_state(licence_id)["expiry"]
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=10 * DAY)
    assert not twin.model.valid(licence_id)
    twin.collect([licence_id], by=cast.outsider, after=5 * DAY)
    twin.role("resume", model_id, by=cast.guardian, after=DAY)
    assert twin.model.licence_state(licence_id)["expiry"] == ends + 6 * DAY
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=2 * DAY) == PRICE * 18 // 30


def test_suspension_stops_sales_and_renewals_and_lets_holders_leave(
    twin: Twin, cast: Cast, model_id: int, month: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=10 * DAY)
    twin.buy(month, by=cast.friend)
    assert twin.error == "ModelIsSuspended"
    twin.renew(licence_id, by=cast.buyer)
    assert twin.error == "ModelIsSuspended"
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=3 * DAY) == PRICE * 20 // 30
    twin.split(month, by=cast.outsider)
    assert twin.withdraw(model_id, "0x" + "00" * 20, cast.publisher, by=cast.publisher)


def test_suspension_that_nobody_confirms_lapses_without_a_transaction(
    twin: Twin, cast: Cast, model_id: int, month: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=10 * DAY)
    twin.wait(SUSPENSION - 1)
    twin.compare()
    assert twin.model.suspended(model_id)
    twin.wait(1)
    twin.compare()
    assert twin.model.valid(licence_id)
    twin.role("resume", model_id, by=cast.admin)
    assert twin.error == "NotSuspended"
    twin.role("confirm_suspension", model_id, by=cast.admin)
    assert twin.error == "NotSuspended"
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=DAY - 2)
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=DAY) == PRICE * 19 // 30


def test_suspension_confirmed_lasts_until_the_admin_ends_it(twin: Twin, cast: Cast, model_id: int, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=DAY)
    twin.role("suspend", model_id, REASON, by=cast.guardian)
    assert twin.error == "SuspendedAlready"
    twin.role("confirm_suspension", model_id, by=cast.guardian)
    assert twin.error == "OwnableUnauthorizedAccount"
    twin.role("confirm_suspension", model_id, by=cast.admin)
    twin.role("resume", model_id, by=cast.guardian, after=2 * SUSPENSION)
    assert twin.error == "NotAllowed"
    twin.role("resume", model_id, by=cast.admin)
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=DAY - 1)


def test_suspension_of_90_days_lets_anyone_pay_the_holder(twin: Twin, cast: Cast, model_id: int, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=15 * DAY)
    twin.role("confirm_suspension", model_id, by=cast.admin)
    twin.settle(licence_id, cast.buyer, by=cast.outsider, after=SETTLE_AFTER - 2)
    assert twin.error == "SettlesLater"
    twin.settle(licence_id, cast.outsider, by=cast.outsider)
    assert twin.error == "NotHolder"
    assert twin.settle(licence_id, cast.buyer, by=cast.outsider) == PRICE // 2
    assert twin.model.plans[month].live == 0


def test_suspension_of_90_days_lets_nobody_end_a_licence_that_brings_nothing_back(
    twin: Twin, cast: Cast, model_id: int, month: int
) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.role("suspend", model_id, REASON, by=cast.guardian, after=31 * DAY)
    twin.role("confirm_suspension", model_id, by=cast.admin)
    twin.settle(licence_id, cast.buyer, by=cast.outsider, after=SETTLE_AFTER)
    assert twin.error == "NotHolder"
    assert twin.settle(licence_id, cast.buyer, by=cast.buyer) == 0


def test_suspension_of_another_model_changes_nothing(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    other = twin.publish(by=cast.publisher)
    twin.role("suspend", other, REASON, by=cast.guardian)
    twin.wait(DAY)
    twin.compare()
    assert twin.model.valid(licence_id)


def test_suspension_by_another_than_the_guardian_is_refused(twin: Twin, cast: Cast, model_id: int) -> None:
    for who in (cast.admin, cast.publisher, cast.outsider):
        twin.role("suspend", model_id, REASON, by=who)
        assert twin.error == "NotAllowed"
