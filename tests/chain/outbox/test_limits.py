"""What the operator allows: money in a day, money in the account, fees per gas."""

from dataclasses import replace
from datetime import timedelta

import pytest

from chain.models import OutboxAttempt, OutboxTransaction
from chain.outbox.errors import FeeCapReached, FeesUnsupported
from chain.outbox.fees import Fees, Market, fees_bump, fees_suggest, market_read
from chain.outbox.limits import limits_of_settings
from chain.outbox.selectors import outbox_status
from chain.outbox.services import outbox_cancel
from tests.chain.outbox.conftest import send_once

GWEI = 10**9


def refreshed(row):
    row.refresh_from_db()
    return row


def alarms(caplog, code: str) -> int:
    return sum(record.levelname == "ERROR" and code in record.message for record in caplog.records)


def age(row, **by: int) -> None:
    """Make everything about a transaction older."""
    for attempt in OutboxAttempt.objects.filter(transaction=row):
        OutboxAttempt.objects.filter(pk=attempt.pk).update(signed_at=attempt.signed_at - timedelta(**by))


@pytest.fixture
def one_cost(outbox) -> int:
    """The worst case of a mint."""
    row = outbox.mint(999)
    sender = outbox.sender()
    sender.step()
    worst = outbox.attempts(row)[0].worst_wei
    send_once(sender)
    sender.close()
    return worst


@pytest.mark.django_db
def test_worst_case_counts_until_a_block_says_what_it_cost(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0)
    sender.step()
    sender.step()
    first, second = outbox.attempts(row)
    assert outbox_status().spent_wei == second.worst_wei > first.worst_wei, "at most one of them is mined"
    by_hand()
    sender.step()
    assert outbox_status().spent_wei == refreshed(row).cost_wei < first.worst_wei


@pytest.mark.django_db
def test_value_that_was_sent_along_is_part_of_what_was_spent(outbox, by_hand):
    row = outbox.pay(10**15)
    sender = outbox.sender()
    sender.step()
    assert outbox_status().spent_wei == outbox.attempts(row)[0].worst_wei > 10**15
    by_hand()
    sender.step()
    receipt = outbox.rpc("eth_getTransactionReceipt", refreshed(row).tx_hash)
    fee_wei = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    assert outbox_status().spent_wei == row.cost_wei == 10**15 + fee_wei


@pytest.mark.django_db
def test_cap_of_a_day_stops_signing_over_a_window_that_rolls_and_is_told_once(outbox, one_cost, settings, caplog):
    spent = outbox_status().spent_wei
    rows = [outbox.mint(units) for units in (1, 2, 3)]
    # Room for two more at their worst, and not for the third.
    cap = spent + 2 * one_cost + one_cost // 2
    settings.OPERATOR_DAILY_SPEND_WEI = cap
    outbox.rpc("evm_setAutomine", False)
    sender = outbox.sender(daily_spend_wei=cap)
    for _ in range(3):
        sender.step()
    assert [refreshed(row).state for row in rows] == ["signed", "signed", "queued"]
    status = outbox_status()
    assert (status.alarm_code, status.ok, status.cap_wei) == ("outbox.spend_cap_reached", False, cap)
    assert alarms(caplog, "outbox.spend_cap_reached") == 1
    outbox.rpc("anvil_dropAllTransactions")
    outbox.rpc("evm_setAutomine", True)

    # 23 hours later nothing has changed, whatever midnight did; an hour after that the first is out of the window.
    first = OutboxTransaction.objects.get(dedupe_key="mint:999")
    age(first, hours=23)
    assert outbox_status().spent_wei == status.spent_wei
    age(first, hours=1, minutes=1)
    age(rows[0], hours=24, minutes=1)
    send_once(sender)
    assert sorted(outbox.minted()) == [1, 2, 3, 999]
    assert (outbox_status().alarm_code, outbox_status().ok) == ("", True)
    assert alarms(caplog, "outbox.spend_cap_reached") == 1


@pytest.mark.django_db
def test_cap_that_is_reached_stops_replacements_too_but_not_a_cancellation(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0)
    sender.step()
    spent = outbox_status().spent_wei
    sender.limits = replace(sender.limits, daily_spend_wei=spent + spent // 20)
    for _ in range(3):
        sender.step()
    assert len(outbox.attempts(row)) == 1
    assert outbox_status().alarm_code == "outbox.spend_cap_reached"
    outbox_cancel(transaction_id=row.pk)
    sender.step()
    assert [attempt.is_cancel for attempt in outbox.attempts(row)] == [False, True]


@pytest.mark.django_db
def test_account_that_cannot_pay_signs_nothing_and_goes_on_when_it_was_given_more(outbox, caplog):
    row = outbox.mint(5)
    outbox.rpc("anvil_setBalance", outbox.address, hex(10**9))
    sender = outbox.sender()
    send_once(sender)
    send_once(sender)
    assert (refreshed(row).state, OutboxAttempt.objects.count()) == ("queued", 0)
    assert (outbox_status().alarm_code, outbox_status().balance_wei) == ("outbox.low_balance", 10**9)
    assert alarms(caplog, "outbox.low_balance") == 1
    outbox.rpc("anvil_setBalance", outbox.address, hex(10**18))
    send_once(sender)
    assert (outbox.minted(), outbox_status().alarm_code) == ([5], "")


@pytest.mark.django_db
def test_account_that_can_pay_for_one_call_but_not_for_two_signs_one_at_a_time(outbox, by_hand):
    rows = [outbox.mint(1), outbox.mint(2)]
    outbox.rpc("anvil_setBalance", outbox.address, hex(10**18))
    sender = outbox.sender(max_in_flight=1)
    sender.step()
    worst = outbox.attempts(rows[0])[0].worst_wei
    outbox.rpc("anvil_setBalance", outbox.address, hex(worst + worst // 2))
    sender.limits = replace(sender.limits, max_in_flight=8)
    sender.step()
    assert [refreshed(row).state for row in rows] == ["signed", "queued"]
    assert outbox_status().alarm_code == "outbox.low_balance"
    by_hand()
    send_once(sender)
    by_hand()
    send_once(sender)
    assert (outbox.minted(), outbox_status().alarm_code) == ([1, 2], "")


@pytest.mark.django_db
def test_attempts_with_a_nonce_that_was_given_up_cost_nothing_any_more(outbox, by_hand):
    row = outbox.mint(1)
    sender = outbox.sender()
    sender.step()
    (attempt,) = outbox.attempts(row)
    OutboxAttempt.objects.create(
        transaction=row,
        hash="0x" + "77" * 32,
        nonce=attempt.nonce + 1,
        max_fee_wei=10 * attempt.max_fee_wei,
        tip_wei=1,
        gas=attempt.gas,
    )
    assert outbox_status().spent_wei == attempt.worst_wei


@pytest.mark.django_db
def test_account_that_holds_little_raises_the_alarm_and_goes_on_sending(outbox, caplog):
    outbox.mint(5)
    sender = outbox.sender(low_balance_wei=10**30)
    send_once(sender)
    assert (outbox.minted(), outbox_status().alarm_code) == ([5], "outbox.low_balance")
    assert alarms(caplog, "outbox.low_balance") == 1


@pytest.mark.django_db
def test_base_fee_above_the_cap_signs_nothing_until_it_falls(outbox):
    outbox.mint(5)
    outbox.rpc("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
    outbox.market.mine()
    sender = outbox.sender(max_fee_wei=20 * GWEI)
    send_once(sender)
    assert (OutboxAttempt.objects.count(), outbox_status().alarm_code) == (0, "outbox.fee_cap_reached")
    outbox.market.mine(40)
    send_once(sender)
    assert (outbox.minted(), outbox_status().alarm_code) == ([5], "")


def test_fees_survive_full_blocks_and_stay_within_the_cap():
    assert fees_suggest(Market(10, 3), cap_wei=100) == Fees(23, 3)
    assert fees_suggest(Market(10, 3), cap_wei=15) == Fees(15, 3)
    assert fees_suggest(Market(10, 3), cap_wei=13) == Fees(13, 3)
    with pytest.raises(FeeCapReached, match="13 wei per gas, the operator allows 12"):
        fees_suggest(Market(10, 3), cap_wei=12)


@pytest.mark.parametrize("wei", [0, 1, 7, 8, 9, 10**9, 10**9 + 1])
def test_bump_raises_both_fields_by_an_eighth_rounded_up(wei):
    bumped = fees_bump(Fees(wei, wei), Market(0, 0), cap_wei=10**18)
    assert bumped.max_fee_wei * 8 >= wei * 9
    assert bumped.tip_wei * 8 >= wei * 9
    assert (bumped.max_fee_wei - 1) * 8 < wei * 9 or wei == 0


def test_bump_follows_the_market_and_stops_at_the_cap():
    assert fees_bump(Fees(100, 8), Market(500, 20), cap_wei=10**4) == Fees(1020, 20)
    assert fees_bump(Fees(100, 8), Market(500, 20), cap_wei=600) == Fees(600, 20)
    for last, market in ((Fees(100, 8), Market(10, 1)), (Fees(10, 8), Market(113, 1))):
        with pytest.raises(FeeCapReached):
            fees_bump(last, market, cap_wei=112)
    assert fees_bump(Fees(100, 100), Market(0, 0), cap_wei=113) == Fees(113, 113)


class OneAnswer:
    def __init__(self, history):
        self._history = history

    def request(self, method, params):
        return self._history if method == "eth_feeHistory" else "0x5"


def test_tip_is_the_usual_one_of_the_last_blocks_and_the_nodes_proposal_where_nobody_tips():
    rewards = [["0x1"], ["0x9"], ["0x4"]]
    assert market_read(OneAnswer({"baseFeePerGas": ["0x1", "0x2"], "reward": rewards})) == Market(2, 4)
    assert market_read(OneAnswer({"baseFeePerGas": ["0x1", "0x2"], "reward": [["0x0"]]})) == Market(2, 5)
    assert market_read(OneAnswer({"baseFeePerGas": ["0x0", "0x0"]})) == Market(0, 5)
    with pytest.raises(FeesUnsupported):
        market_read(OneAnswer({"baseFeePerGas": []}))


def test_limits_are_those_of_the_settings(settings):
    settings.OPERATOR_DAILY_SPEND_WEI, settings.OPERATOR_LOW_BALANCE_WEI, settings.OPERATOR_MAX_FEE_WEI = 1, 2, 3
    settings.OUTBOX_MAX_IN_FLIGHT, settings.OUTBOX_STUCK_S = 4, 5.5
    limits = limits_of_settings()
    assert (limits.daily_spend_wei, limits.low_balance_wei, limits.max_fee_wei) == (1, 2, 3)
    assert (limits.max_in_flight, limits.stuck_s) == (4, 5.5)
