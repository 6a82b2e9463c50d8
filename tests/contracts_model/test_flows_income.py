"""Where income goes: fee, service share, ancestors and publisher, through sales of models and changes of operators."""

import pytest

from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import DAY, NATIVE
from tests.contracts_model.twin import Twin

PRICE = 10_000_019


@pytest.fixture
def family(twin: Twin, cast: Cast) -> int:
    """A model over three generations, with diamonds: 1 <- 2, 3 <- 4 <- 5, and 5 names 1 once more."""
    root = twin.publish(by=cast.admin, derivative_bps=500)
    left = twin.publish(by=cast.outsider, parents=[(root, 500)], derivative_bps=250)
    right = twin.publish(by=cast.friend, parents=[(root, 700)])
    both = twin.publish(by=cast.publisher, parents=[(left, 333), (right, 0)])
    return twin.publish(by=cast.publisher, parents=[(both, 1_234), (root, 501)])


def test_lineage_of_three_generations_takes_the_largest_share_of_each(twin: Twin, family: int) -> None:
    expected = ((4, 1_234), (2, 333), (1, 700))
    assert twin.model.registry.models[family].ancestors == expected
    stored = twin.registry_contract.ancestors(family).read()
    assert [(share.model_id, share.bps) for share in stored] == list(expected)


def test_lineage_below_what_a_parent_asks_is_refused(twin: Twin, cast: Cast, family: int) -> None:
    for parents in ([(1, 499)], [(2, 249), (1, 5_000)], [(99, 1)], [(1, 3_000), (2, 2_001)]):
        twin.publish(by=cast.buyer, parents=parents)
        assert twin.error in {"ParentShareTooSmall", "ModelUnknown", "AncestorSharesTooLarge"}
    twin.publish(by=cast.buyer, parents=[(twin.publish(by=cast.buyer), 1) for _ in range(9)])
    assert twin.error == "TooManyAncestors"


def test_income_is_withdrawn_by_each_to_the_wei(twin: Twin, cast: Cast, family: int, operator_id: int) -> None:
    shared = {"operatorId": operator_id, "serviceBps": 1_111, "token": twin.usd}
    plan_id = twin.add_plan(family, by=cast.publisher, price=PRICE, **shared)
    for _ in range(3):
        twin.buy(plan_id, by=cast.buyer)
    parts = twin.split(plan_id, by=cast.outsider)
    assert parts.total == 3 * PRICE
    assert twin.withdraw_account(twin.usd, cast.treasury, by=cast.treasury) == parts.fee
    assert twin.withdraw_account(twin.usd, cast.friend, by=cast.payee) == parts.service
    for model_id, owner, part in zip(
        (4, 2, 1), (cast.publisher, cast.outsider, cast.admin), parts.ancestors, strict=True
    ):
        assert twin.withdraw(model_id, twin.usd, owner, by=owner) == part
    assert twin.withdraw(family, twin.usd, cast.publisher, by=cast.publisher) == parts.publisher
    assert twin.model.owed(twin.usd) == 0
    twin.withdraw(family, twin.usd, cast.publisher, by=cast.publisher)
    assert twin.error == "NothingToWithdraw"


def test_shares_do_not_depend_on_how_often_income_is_collected_and_split(
    twin: Twin, cast: Cast, family: int, operator_id: int
) -> None:
    terms = {"price": 101, "period": 10 * DAY, "vesting": 10 * DAY, "operatorId": operator_id, "serviceBps": 1_500}
    often, seldom = (twin.add_plan(family, by=cast.publisher, **terms, token=token) for token in (NATIVE, twin.usd))
    licences = [(twin.buy(often, by=cast.buyer), twin.buy(seldom, by=cast.buyer)) for _ in range(2)]
    for _ in range(12):
        twin.collect([one for one, _ in licences], by=cast.outsider, after=DAY)
        twin.split(often, by=cast.outsider)
    twin.collect([other for _, other in licences], by=cast.outsider)
    twin.split(seldom, by=cast.outsider)
    for model_id in twin.model.registry.models:
        pair = [twin.contract.credit(model_id, token).read() for token in (NATIVE, twin.usd)]
        assert pair[0] == pair[1]
    for account in (cast.treasury, cast.payee):
        pair = [twin.contract.account_credit(account, token).read() for token in (NATIVE, twin.usd)]
        assert pair[0] == pair[1] > 0


def test_split_with_nothing_new_credits_nothing(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE)
    twin.split(plan_id, by=cast.outsider)
    twin.buy(plan_id, by=cast.buyer)
    assert twin.split(plan_id, by=cast.outsider).total == PRICE
    assert twin.split(plan_id, by=cast.outsider).total == 0


def test_model_sold_with_income_in_it_pays_the_new_owner(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE, period=10 * DAY, vesting=10 * DAY)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    twin.collect([licence_id], by=cast.outsider, after=3 * DAY)
    twin.split(plan_id, by=cast.outsider)
    twin.sell_model(model_id, cast.friend, by=cast.publisher)
    twin.withdraw(model_id, NATIVE, cast.publisher, by=cast.publisher)
    assert twin.error == "NotModelOwner"
    twin.retire_plan(plan_id, by=cast.publisher)
    assert twin.error == "NotModelOwner"
    assert twin.withdraw(model_id, NATIVE, cast.friend, by=cast.friend)
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer)


def test_operator_that_is_rotated_reports_with_its_new_key_and_is_paid_at_its_new_payee(
    twin: Twin, cast: Cast, model_id: int, operator_id: int
) -> None:
    terms = {"price": PRICE, "vesting": 90 * DAY, "calls": 10, "operatorId": operator_id, "serviceBps": 3_000}
    plan_id = twin.add_plan(model_id, by=cast.publisher, **terms)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    twin.report([licence_id], [3], by=cast.key)
    twin.role("set_operator", operator_id, cast.friend, cast.outsider, by=cast.operator)
    assert twin.report([licence_id], [4], by=cast.key) == [(licence_id, "Foreign")]
    assert twin.report([licence_id], [4], by=cast.friend) == [(licence_id, None)]
    twin.collect([licence_id], by=cast.outsider)
    service = twin.split(plan_id, by=cast.outsider).service
    assert twin.withdraw_account(NATIVE, cast.friend, by=cast.outsider) == service
    twin.role("set_operator", operator_id, cast.friend, cast.friend, by=cast.friend)
    assert twin.error == "NotAllowed"


def test_operator_that_is_disabled_reports_nothing_more_and_its_plans_go_on(
    twin: Twin, cast: Cast, model_id: int, operator_id: int
) -> None:
    terms = {"price": PRICE, "vesting": 90 * DAY, "calls": 10, "operatorId": operator_id, "serviceBps": 3_000}
    plan_id = twin.add_plan(model_id, by=cast.publisher, **terms)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    twin.role("disable_operator", operator_id, by=cast.guardian)
    assert twin.report([licence_id], [9], by=cast.key) == [(licence_id, "Disabled")]
    assert twin.buy(plan_id, by=cast.friend) == licence_id + 1
    twin.add_plan(model_id, by=cast.publisher, **terms)
    assert twin.error == "OperatorIsDisabled"
    twin.collect([licence_id], by=cast.outsider, after=45 * DAY)
    assert twin.split(plan_id, by=cast.outsider).service
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    assert twin.settle(licence_id, cast.buyer, by=cast.outsider, after=DAY)


def test_report_of_many_kinds_skips_what_cannot_count(twin: Twin, cast: Cast, model_id: int, operator_id: int) -> None:
    other = twin.role("register_operator", cast.friend, cast.friend, by=cast.friend)
    metered = {"price": PRICE, "vesting": 90 * DAY, "calls": 10}
    ours = twin.buy(twin.add_plan(model_id, by=cast.publisher, **metered, operatorId=operator_id), by=cast.buyer)
    theirs = twin.buy(twin.add_plan(model_id, by=cast.publisher, **metered, operatorId=other), by=cast.buyer)
    unmetered = twin.buy(twin.add_plan(model_id, by=cast.publisher), by=cast.buyer)
    ids = [ours, ours, ours, ours, theirs, unmetered, 12345, ours]
    outcome = twin.report(ids, [5, 5, 4, 11, 1, 1, 1, 10], by=cast.key)
    assert [why for _, why in outcome] == [
        *(None, "NotHigher", "NotHigher", "AboveTotal"),
        *("Foreign", "Unmetered", "Unknown", None),
    ]
    twin.report([ours] * 51, list(range(51)), by=cast.key)
    assert twin.error == "BatchInvalid"
