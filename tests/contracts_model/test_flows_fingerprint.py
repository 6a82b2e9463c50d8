"""For the sale of a model: whatever the seller could change before the sale shows in the fingerprint."""

from collections.abc import Callable

import pytest

from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import NATIVE
from tests.contracts_model.twin import Twin

PRICE = 1_000


@pytest.fixture
def plan_id(twin: Twin, cast: Cast, model_id: int) -> int:
    """A plan whose income is credited to the model in part: bought and split once."""
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE)
    twin.buy(plan_id, by=cast.buyer)
    twin.split(plan_id, by=cast.outsider)
    return plan_id


def release(twin: Twin, cast: Cast, plan_id: int) -> None:
    request = twin.registry_contract.release(plan_id >> 32, b"\x02" * 32)
    outcome = twin.chain.send(request, by=cast.publisher, at=twin.model.now + 1)
    assert outcome.error is None


def share(twin: Twin, cast: Cast, plan_id: int) -> None:
    request = twin.registry_contract.set_derivative_bps(plan_id >> 32, 77)
    assert twin.chain.send(request, by=cast.publisher, at=twin.model.now + 1).error is None


def plan(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.add_plan(plan_id >> 32, by=cast.publisher)


def retirement(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.retire_plan(plan_id, by=cast.publisher)


def suspension(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.role("suspend", plan_id >> 32, "0x" + "01" * 32, by=cast.guardian)


def income(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.buy(plan_id, by=cast.buyer)
    twin.split(plan_id, by=cast.outsider)


def withdrawal(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.withdraw(plan_id >> 32, NATIVE, cast.publisher, by=cast.publisher)


def withdrawal_and_the_same_again(twin: Twin, cast: Cast, plan_id: int) -> None:
    withdrawal(twin, cast, plan_id)
    income(twin, cast, plan_id)


CHANGES = (release, share, plan, retirement, suspension, income, withdrawal, withdrawal_and_the_same_again)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_fingerprint_of_a_model_shows_a_change_of(
    twin: Twin, cast: Cast, plan_id: int, change: Callable[[Twin, Cast, int], None]
) -> None:
    asked = twin.contract.model_fingerprint(plan_id >> 32, [NATIVE])
    before = asked.read()
    twin.wait(86_400)
    assert asked.read() == before
    change(twin, cast, plan_id)
    assert asked.read() != before


def test_fingerprint_of_a_model_is_the_same_for_its_next_owner(twin: Twin, cast: Cast, plan_id: int) -> None:
    asked = twin.contract.model_fingerprint(plan_id >> 32, [NATIVE, twin.usd])
    before = asked.read()
    twin.sell_model(plan_id >> 32, cast.friend, by=cast.publisher)
    assert asked.read() == before
    assert twin.withdraw(plan_id >> 32, NATIVE, cast.friend, by=cast.friend)


def test_fingerprint_of_another_model_does_not_change(twin: Twin, cast: Cast, plan_id: int) -> None:
    other = twin.publish(by=cast.publisher)
    asked = twin.contract.model_fingerprint(other, [NATIVE])
    before = asked.read()
    for change in (retirement, income, withdrawal):
        if change is income:
            plan_id = twin.add_plan(plan_id >> 32, by=cast.publisher, price=PRICE)
        change(twin, cast, plan_id)
    assert asked.read() == before
