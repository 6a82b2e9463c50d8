"""The four forms of buying, and what stands in the way of each."""

import pytest

from chain.bindings.structs import Authorization
from tests.contracts_model import payments
from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import DAY
from tests.contracts_model.twin import Twin

PRICE = 12_345_679


@pytest.fixture
def plan_id(twin: Twin, cast: Cast, model_id: int) -> int:
    return twin.add_plan(
        model_id, by=cast.publisher, token=twin.usd, price=PRICE, period=DAY, vesting=DAY, entryBps=2_000
    )


@pytest.mark.parametrize("price", [0, 1, 9_999, 10_001, 2**60 - 1])
def test_buy_in_the_coin_pays_the_price_and_holds_all_but_the_entry_share(
    twin: Twin, cast: Cast, model_id: int, price: int
) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=price, vesting=DAY, entryBps=333)
    licence_id = twin.buy(plan_id, by=cast.buyer, recipient=cast.friend)
    assert twin.model.licences[licence_id].amount == price - price * 333 // 10_000
    assert twin.cancel(licence_id, cast.outsider, by=cast.friend) is not None


def test_buy_while_paused_retired_or_sold_out_is_refused(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, supply=1)
    twin.role("set_paused", True, by=cast.guardian)
    twin.buy(plan_id, by=cast.buyer)
    assert twin.error == "SalesPaused"
    twin.role("set_paused", False, by=cast.guardian)
    twin.buy(plan_id, by=cast.buyer)
    twin.buy(plan_id, by=cast.buyer)
    assert twin.error == "SupplyExhausted"
    twin.retire_plan(plan_id, by=cast.publisher)
    twin.buy(plan_id, by=cast.buyer)
    assert twin.error in {"PlanIsRetired", "SupplyExhausted"}


def test_buy_with_a_permit_needs_no_approval(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.approve(cast.buyer, 0)
    signature = payments.permit_sign(twin, cast.buyer, PRICE, deadline=twin.model.now + 100)
    request = payments.permit_request(twin, plan_id, signature, recipient=cast.buyer)
    licence_id = twin.bought(request, plan_id, payer=cast.buyer)
    assert twin.model.licences[licence_id].owner == cast.buyer


def test_buy_with_a_permit_that_somebody_used_first_still_buys(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.approve(cast.buyer, 0)
    signature = payments.permit_sign(twin, cast.buyer, PRICE, deadline=twin.model.now + 100)
    permit = twin.usd_contract.permit(cast.buyer, twin.address, PRICE, *signature)
    twin.both(permit, lambda: None, by=cast.outsider)
    assert twin.bought(
        payments.permit_request(twin, plan_id, signature, recipient=cast.buyer), plan_id, payer=cast.buyer
    )


def test_buy_with_a_permit_of_another_is_refused_and_moves_nothing(twin: Twin, cast: Cast, plan_id: int) -> None:
    """The market permits for its caller alone: a permit that was seen in the mempool is of no use to a thief."""
    for account in (cast.buyer, cast.outsider):
        twin.approve(account, 0)
    signature = payments.permit_sign(twin, cast.buyer, PRICE, deadline=twin.model.now + 100)
    request = payments.permit_request(twin, plan_id, signature, recipient=cast.outsider)
    twin.refused(request, "ERC20InsufficientAllowance", by=cast.outsider)


def test_buy_with_an_expired_permit_and_no_allowance_is_refused(twin: Twin, cast: Cast, plan_id: int) -> None:
    twin.approve(cast.buyer, 0)
    signature = payments.permit_sign(twin, cast.buyer, PRICE, deadline=twin.model.now + 1)
    request = payments.permit_request(twin, plan_id, signature, recipient=cast.buyer)
    twin.refused(request, "ERC20InsufficientAllowance", by=cast.buyer, after=2)


@pytest.mark.parametrize("as_bytes", [False, True], ids=["vrs", "bytes"])
def test_buy_with_an_authorization_is_sent_by_a_relayer_once(
    twin: Twin, cast: Cast, plan_id: int, as_bytes: bool
) -> None:
    paid = Authorization(cast.buyer, 0, twin.model.now + 100, b"\x05" * 32)
    signature = payments.authorization_sign(twin, plan_id, paid, recipient=cast.friend)
    request = payments.authorization_request(twin, plan_id, paid, signature, recipient=cast.friend, as_bytes=as_bytes)
    twin.bought(request, plan_id, payer=cast.buyer, recipient=cast.friend, by=cast.outsider)
    twin.refused(request, "AuthorizationSpent", by=cast.outsider)


@pytest.mark.parametrize("as_bytes", [False, True], ids=["vrs", "bytes"])
def test_buy_with_an_authorization_for_another_recipient_is_refused(
    twin: Twin, cast: Cast, plan_id: int, as_bytes: bool
) -> None:
    paid = Authorization(cast.buyer, 0, twin.model.now + 100, b"\x05" * 32)
    signature = payments.authorization_sign(twin, plan_id, paid, recipient=cast.friend)
    request = payments.authorization_request(twin, plan_id, paid, signature, recipient=cast.outsider, as_bytes=as_bytes)
    twin.refused(request, "AuthorizationSignatureInvalid", by=cast.outsider)


def test_authorization_cannot_be_spent_without_the_purchase(twin: Twin, cast: Cast, plan_id: int) -> None:
    paid = Authorization(cast.buyer, 0, twin.model.now + 100, b"\x05" * 32)
    signature = payments.authorization_sign(twin, plan_id, paid, recipient=cast.friend)
    taken = payments.receive_directly(twin, plan_id, paid, signature, recipient=cast.friend)
    twin.refused(taken, "CallerNotPayee", by=cast.outsider)


@pytest.mark.parametrize(("opens", "closes", "error"), [(3, 9, "NotYetValid"), (0, 2, "Expired")])
def test_buy_with_an_authorization_outside_its_time_is_refused(
    twin: Twin, cast: Cast, plan_id: int, opens: int, closes: int, error: str
) -> None:
    now = twin.model.now
    paid = Authorization(cast.buyer, now + opens, now + closes, b"\x05" * 32)
    signature = payments.authorization_sign(twin, plan_id, paid, recipient=cast.buyer)
    request = payments.authorization_request(twin, plan_id, paid, signature, recipient=cast.buyer)
    twin.refused(request, f"Authorization{error}", by=cast.outsider, after=2)


def test_buy_in_the_coin_with_another_value_than_the_price_is_refused(
    twin: Twin, cast: Cast, model_id: int, plan_id: int
) -> None:
    coin = twin.add_plan(model_id, by=cast.publisher, price=PRICE)
    for plan, value in ((coin, PRICE - 1), (coin, PRICE + 1), (plan_id, 1)):
        request = twin.contract.buy(plan, twin.plan_hash(plan), cast.buyer, value_wei=value)
        twin.refused(request, "ValueDiffers", by=cast.buyer)


def test_buy_of_other_terms_than_agreed_is_refused(twin: Twin, cast: Cast, plan_id: int) -> None:
    for agreed in (b"\x00" * 32, twin.plan_hash(plan_id)[:-1] + b"\x00"):
        twin.refused(twin.contract.buy(plan_id, agreed, cast.buyer, value_wei=0), "PlanHashDiffers", by=cast.buyer)
    assert "0x" + twin.plan_hash(plan_id).hex() == twin.contract.plan_hash(plan_id).read()
