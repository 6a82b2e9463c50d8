"""Cancelling and settling: what comes back, to whom, and until when use may be reported."""

import pytest

from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import DAY, HOUR, NATIVE, REPORT_WINDOW, RUN, TRANSFERABLE, Request
from tests.contracts_model.twin import Twin

PRICE = 30_000_019
MONTH = 30 * DAY


@pytest.fixture
def month(twin: Twin, cast: Cast, model_id: int) -> int:
    """A plan of 30 days that vests over them, with an entry share, in TestUSD."""
    return twin.add_plan(
        model_id, by=cast.publisher, token=twin.usd, price=PRICE, period=MONTH, vesting=MONTH, entryBps=777
    )


@pytest.fixture
def metered(twin: Twin, cast: Cast, model_id: int, operator_id: int) -> int:
    """The same in the native coin, with 1,000 calls, an operator and a service share."""
    return twin.add_plan(
        model_id,
        by=cast.publisher,
        price=PRICE,
        period=MONTH,
        vesting=MONTH,
        calls=1_000,
        operatorId=operator_id,
        serviceBps=1_500,
        flags=RUN | TRANSFERABLE,
    )


@pytest.mark.parametrize("after", [1, 12 * DAY + 34_567, MONTH - 1, MONTH, 3 * MONTH])
def test_cancel_unmetered_pays_what_has_not_vested_and_burns(twin: Twin, cast: Cast, month: int, after: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    held = PRICE - PRICE * 777 // 10_000
    refund = twin.cancel(licence_id, cast.friend, by=cast.buyer, after=after)
    assert refund == held - min(held, held * after // MONTH)
    assert twin.model.licence_state(licence_id)["exists"] is False


def test_cancel_of_a_gift_pays_its_holder_and_not_who_paid(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer, recipient=cast.friend)
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer) is None
    assert twin.error == "NotHolder"
    assert twin.cancel(licence_id, cast.friend, by=cast.friend, after=DAY)


def test_cancel_of_a_perpetual_licence_pays_until_its_vesting_is_over(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=10**18 + 7, vesting=90 * DAY)
    first, second = (twin.buy(plan_id, by=cast.buyer) for _ in range(2))
    assert twin.cancel(first, cast.friend, by=cast.buyer, after=89 * DAY)
    assert twin.cancel(second, cast.friend, by=cast.buyer, after=DAY) == 0


def test_cancel_of_a_plan_that_vests_at_once_pays_nothing(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE, period=DAY)
    assert twin.cancel(twin.buy(plan_id, by=cast.buyer), cast.buyer, by=cast.buyer) == 0


@pytest.mark.parametrize("who", ["outsider", "publisher", "admin"])
def test_cancel_by_another_than_the_holder_is_refused(twin: Twin, cast: Cast, month: int, who: str) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    caller = getattr(cast, who)
    twin.approve_all(by=cast.buyer, operator=caller)
    twin.cancel(licence_id, caller, by=caller)
    assert twin.error == "NotHolder"


@pytest.mark.parametrize("to", ["nobody", "market"])
def test_cancel_to_where_money_would_be_lost_is_refused(twin: Twin, cast: Cast, month: int, to: str) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.cancel(licence_id, NATIVE if to == "nobody" else twin.address, by=cast.buyer)
    assert twin.error == "RecipientInvalid"


def test_cancel_metered_lets_use_be_reported_until_the_window_closes(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.report([licence_id], [10], by=cast.key, after=DAY)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=9 * DAY)
    at_cancel = twin.model.licences[licence_id].taken
    assert at_cancel == PRICE * (10 * DAY) // MONTH
    assert twin.report([licence_id], [400], by=cast.key, after=REPORT_WINDOW - 1) == [(licence_id, None)]
    assert twin.report([licence_id], [500], by=cast.key) == [(licence_id, "Closed")]
    assert twin.settle(licence_id, cast.friend, by=cast.buyer) == PRICE - PRICE * 400 // 1_000


def test_settle_before_the_window_closes_is_refused_and_at_it_pays(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=6 * DAY)
    twin.settle(licence_id, cast.buyer, by=cast.buyer, after=REPORT_WINDOW - 1)
    assert twin.error == "SettlesLater"
    assert twin.settle(licence_id, cast.buyer, by=cast.buyer) == PRICE - PRICE * 6 * DAY // MONTH


def test_settle_by_a_stranger_pays_the_holder_alone(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    twin.settle(licence_id, cast.outsider, by=cast.outsider, after=DAY)
    assert twin.error == "NotHolder"
    assert twin.settle(licence_id, cast.buyer, by=cast.outsider)


def test_settle_of_a_licence_that_was_not_cancelled_is_refused(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.settle(licence_id, cast.buyer, by=cast.buyer, after=2 * MONTH)
    assert twin.error == "SettlesLater"


def test_time_after_a_cancellation_vests_nothing(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer, after=HOUR)
    twin.collect([licence_id], by=cast.outsider, after=2 * MONTH)
    assert twin.settle(licence_id, cast.buyer, by=cast.buyer) == PRICE - PRICE * HOUR // MONTH


def test_cancelled_licence_cannot_be_moved_renewed_or_cancelled_again(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    twin.transfer(licence_id, cast.friend, by=cast.buyer)
    assert twin.error == "LicenceIsCancelled"
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    assert twin.error == "LicenceIsCancelled"
    twin.renew(licence_id, by=cast.buyer)
    assert twin.error in {"LicenceIsCancelled", "NotRenewable"}


def test_cancel_frees_the_place_in_the_supply_at_once(twin: Twin, cast: Cast, model_id: int, operator_id: int) -> None:
    metered = {"calls": 9, "operatorId": operator_id, "vesting": DAY, "price": PRICE}
    plan_id = twin.add_plan(model_id, by=cast.publisher, supply=1, **metered)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    twin.buy(plan_id, by=cast.friend)
    assert twin.error == "SupplyExhausted"
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    assert twin.buy(plan_id, by=cast.friend) == licence_id + 1


def test_licence_that_was_transferred_is_refunded_to_its_new_holder(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.transfer(licence_id, cast.friend, by=cast.buyer, after=DAY)
    twin.cancel(licence_id, cast.buyer, by=cast.buyer)
    assert twin.error == "NotHolder"
    twin.cancel(licence_id, cast.friend, by=cast.friend)
    assert twin.settle(licence_id, cast.friend, by=cast.friend, after=REPORT_WINDOW)


def test_cancel_by_signature_pays_where_the_holder_said(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.wait(5 * DAY)
    assert twin.cancel_by_sig(licence_id, cast.friend, signer=cast.buyer, by=cast.outsider)
    twin.cancel_by_sig(licence_id, cast.friend, signer=cast.buyer, by=cast.outsider)
    assert twin.error == "LicenceUnknown"


def test_cancel_by_another_ones_signature_is_refused(twin: Twin, cast: Cast, month: int) -> None:
    licence_id = twin.buy(month, by=cast.buyer)
    twin.cancel_by_sig(licence_id, cast.outsider, signer=cast.outsider, by=cast.outsider)
    assert twin.error == "SignatureInvalid"


def test_cancel_by_the_signature_of_an_earlier_holder_is_refused(twin: Twin, cast: Cast, metered: int) -> None:
    licence_id = twin.buy(metered, by=cast.buyer)
    twin.transfer(licence_id, cast.friend, by=cast.buyer)
    twin.cancel_by_sig(licence_id, cast.buyer, signer=cast.buyer, by=cast.outsider)
    assert twin.error == "SignatureInvalid"


def test_cancel_by_signature_holds_until_its_deadline(twin: Twin, cast: Cast, month: int) -> None:
    first, second = (twin.buy(month, by=cast.buyer) for _ in range(2))
    twin.cancel_by_sig(first, cast.buyer, signer=cast.buyer, by=cast.outsider, lasts=10, after=11)
    assert twin.error == "DeadlinePassed"
    assert twin.cancel_by_sig(second, cast.buyer, signer=cast.buyer, by=cast.outsider, lasts=10, after=10)


def test_cancel_by_a_contract_wallet_is_signed_by_erc_1271(twin: Twin, cast: Cast, month: int) -> None:
    wallet = twin.wallet_deploy()
    licence_id = twin.buy(month, by=cast.buyer, recipient=wallet)
    assert twin.cancel_by_sig(licence_id, cast.friend, signer=wallet, by=cast.outsider)


def test_deliver_vests_all_and_its_request_works_once(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, price=PRICE, vesting=90 * DAY, flags=2)
    licence_id = twin.buy(plan_id, by=cast.buyer)
    request = Request("0x" + "ab" * 32, twin.model.now + DAY, "0x" + "cd" * 32)
    twin.deliver(licence_id, request, by=cast.outsider, signer=cast.buyer)
    assert twin.error == "NotDeliverer"
    twin.deliver(licence_id, request, by=cast.publisher, signer=cast.publisher)
    assert twin.error == "SignatureInvalid"
    twin.deliver(licence_id, request, by=cast.publisher, signer=cast.buyer, after=HOUR)
    assert twin.error is None
    twin.deliver(licence_id, request, by=cast.publisher, signer=cast.buyer)
    assert twin.error == "RequestUsed"
    assert twin.cancel(licence_id, cast.buyer, by=cast.buyer) == 0
