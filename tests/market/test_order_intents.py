"""Orders whose hash nobody told: the page was closed, or the person said no. On a real chain."""

import functools

import pytest

from chain import tracking
from chain.nonces import transaction_at_nonce
from chain.tracking import Searches
from marketplace.orders import services
from marketplace.orders.models import Order
from tests.fixtures.people import BUYER, OUTSIDER
from tests.market.order_steps import (
    again,
    buy_transaction,
    follow,
    intend,
    make_old,
    nonce_of,
    record,
    send,
    send_buy,
    send_cancel,
    state_of,
    waiting_mempool,
)

pytestmark = pytest.mark.django_db

# A smart account without any check: calls the address in the first 32 bytes of its data with the rest and all coins,
# and reverts where that does.
FORWARDER = "0x" + "60203603602060003760006000602036036000346000355af1" + "602157" + "60006000fd" + "5b00"


def test_intent_of_a_closed_page_is_found_by_sender_and_nonce(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    market.mine(30)
    tx_hash = send_buy(market, plan_id)
    market.mine(300)
    follow()
    assert (state_of(order), again(order).tx_hash) == ("pending", tx_hash)
    follow()
    assert state_of(order) == "mined"
    market.index()
    assert state_of(order) == "seen"


def test_intent_of_a_closed_page_whose_transaction_failed_is_reverted(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    send_buy(market, plan_id, value=1)
    follow()
    follow()
    assert (state_of(order), again(order).error["error"]) == ("reverted", "ValueDiffers")


def test_intent_is_found_by_its_event_where_the_node_has_no_old_state(market, plan_id, buyer, pruned_node):
    order = intend(buyer, plan_id)
    tx_hash = send_buy(market, plan_id)
    market.mine(200)
    market.index()
    make_old(order, minutes=1)
    pruned_node.start()
    follow()
    assert (state_of(order), again(order).tx_hash) == ("seen", tx_hash)


def test_intent_that_a_node_without_old_state_cannot_tell_of_is_unknown_and_never_failed(
    market, plan_id, buyer, pruned_node
):
    order = intend(buyer, plan_id)
    send_cancel(market, again(order).nonce)
    market.mine(200)
    pruned_node.start()
    follow()
    assert state_of(order) == "intent"
    make_old(order, hours=1)
    follow()
    assert state_of(order) == "unknown"
    pruned_node.stop()
    follow()
    assert state_of(order) == "cancelled"


def test_intent_whose_nonce_stays_free_is_abandoned_and_still_found_later(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    follow()
    assert state_of(order) == "intent"
    make_old(order, minutes=31)
    follow()
    assert state_of(order) == "abandoned"
    send_buy(market, plan_id)
    follow(), follow()
    assert state_of(order) == "mined"
    market.index()
    assert state_of(order) == "seen"


def test_intent_whose_transaction_waits_in_the_mempool_is_not_abandoned(market, plan_id, buyer):
    with waiting_mempool(market):
        order = intend(buyer, plan_id)
        send_buy(market, plan_id)
        make_old(order, minutes=31)
        follow()
        assert state_of(order) == "intent"


def test_intent_that_was_rejected_is_not_followed(market, plan_id, buyer):
    order = services.order_reject(order=intend(buyer, plan_id))
    send_buy(market, plan_id)
    market.index()
    follow()
    assert (state_of(order), again(order).checked_at) == ("abandoned", None)


def test_intent_is_not_fulfilled_by_what_was_bought_before_it(market, plan_id, buyer):
    send_buy(market, plan_id)
    order = intend(buyer, plan_id)
    market.index()
    make_old(order, minutes=1)
    follow()
    assert state_of(order) == "intent"


def test_intent_is_not_fulfilled_by_a_present_of_somebody_else(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    market.buy(plan_id, by=OUTSIDER, recipient=buyer.address)
    market.index()
    make_old(order, minutes=1)
    follow()
    assert state_of(order) == "intent"


def test_intent_passes_a_nonce_that_another_transaction_used(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    nonce = again(order).nonce
    send(market, {"from": buyer.address, "to": OUTSIDER, "value": "0x1"})
    follow()
    assert (state_of(order), again(order).nonce) == ("intent", nonce + 1)
    tx_hash = send_buy(market, plan_id)
    follow(), follow()
    assert (state_of(order), again(order).tx_hash) == ("mined", tx_hash)


def test_intent_passes_a_bounded_number_of_nonces(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    for _ in range(10):
        send(market, {"from": buyer.address, "to": OUTSIDER, "value": "0x1"})
    for _ in range(10):
        follow()
    assert (state_of(order), again(order).nonce, again(order).nonces_passed) == ("intent", None, 8)
    # The event tells all the same.
    send_buy(market, plan_id)
    market.index()
    make_old(order, minutes=1)
    follow()
    assert state_of(order) == "seen"


def test_intents_of_two_tabs_each_get_their_own_transaction(market, plan_id, buyer):
    first, second = intend(buyer, plan_id), intend(buyer, plan_id)
    assert again(first).nonce == again(second).nonce
    hashes = [send_buy(market, plan_id), send_buy(market, plan_id)]
    for _ in range(3):
        follow()
    assert [again(order).tx_hash for order in (first, second)] == hashes
    market.index()
    assert [state_of(order) for order in (first, second)] == ["seen", "seen"]


def test_intents_of_two_tabs_are_told_apart_by_the_plan(market, plan_id, buyer):
    other_plan = market.add_plan(plan_id >> 32)
    first, second = intend(buyer, plan_id), intend(buyer, other_plan)
    hashes = [send_buy(market, other_plan), send_buy(market, plan_id)]
    for _ in range(3):
        follow()
    assert [again(order).tx_hash for order in (second, first)] == hashes


def test_hash_that_the_wallet_tells_goes_before_what_was_found(market, plan_id, buyer):
    first, second = intend(buyer, plan_id), intend(buyer, plan_id)
    tx_hash = send_buy(market, plan_id)
    follow()
    assert again(first).tx_hash == tx_hash
    market.index()
    services.order_tell(order=again(second), tx_hash=tx_hash)
    assert (state_of(first), again(first).tx_hash) == ("intent", None)
    assert state_of(second) == "seen"


def test_hash_of_one_account_stays_with_both_that_recorded_it(market, plan_id, buyer, outsider):
    order = intend(buyer, plan_id)
    tx_hash = send_buy(market, plan_id)
    record(outsider, tx_hash, plan_id)
    services.order_tell(order=order, tx_hash=tx_hash)
    market.index()
    assert state_of(order) == "seen"


def test_smart_account_is_found_by_its_event_in_a_bundlers_transaction(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    nonce = again(order).nonce
    # The account has code, and somebody else pays for the transaction in which it acts.
    market.anvil.rpc("anvil_setCode", buyer.address, FORWARDER)
    call = buy_transaction(market, plan_id)
    data = "0x" + call["to"][2:].lower().rjust(64, "0") + call["data"][2:]
    bundle = {"from": OUTSIDER, "to": buyer.address, "data": data, "value": call["value"], "gas": hex(900_000)}
    tx_hash = send(market, bundle)
    assert market.anvil.rpc("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
    assert nonce_of(market) == nonce
    make_old(order, minutes=40)
    follow()
    assert state_of(order) == "unknown", "its nonce did not move, and that says nothing"
    market.index()
    follow()
    assert (state_of(order), again(order).tx_hash) == ("seen", tx_hash)


def test_smart_account_told_by_a_hash_that_is_no_transactions_is_found_by_its_event(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    services.order_tell(order=order, tx_hash="0x" + "ab" * 32)
    tx_hash = send_buy(market, plan_id)
    market.index()
    make_old(order, minutes=1)
    follow()
    assert (state_of(order), again(order).tx_hash) == ("seen", tx_hash)


def test_intents_of_one_account_do_not_hold_up_another(market, plan_id, buyer, outsider, monkeypatch):
    monkeypatch.setattr("marketplace.orders.services.following.FOLLOW_BATCH", 3)
    for number in range(10):
        record(outsider, f"0x{number:064x}", plan_id)
    order = record(buyer, send_buy(market, plan_id), plan_id)
    services.orders_follow()
    assert state_of(order) == "mined"
    assert Order.objects.filter(checked_at=None).count() == 8


def test_intent_is_searched_for_before_what_was_searched_for_in_vain(market, plan_id, buyer, outsider, monkeypatch):
    one_search = functools.partial(Searches, left=1)
    monkeypatch.setattr("marketplace.orders.services.following.Searches", one_search)
    # As where an authorization used the nonce (EIP-7702): no search ever finds a transaction.
    monkeypatch.setattr(tracking, "transaction_at_nonce", found_for(BUYER))
    in_vain = intend(outsider, plan_id)
    send_cancel(market, nonce_of(market, OUTSIDER), by=OUTSIDER)
    order = intend(buyer, plan_id)
    tx_hash = send_buy(market, plan_id)
    follow()
    assert (again(in_vain).searched_at is None, again(order).tx_hash) == (False, None)
    follow()
    assert again(order).tx_hash == tx_hash


def found_for(account: str):
    def search(gateway, sender, nonce, **blocks):
        return transaction_at_nonce(gateway, sender, nonce, **blocks) if sender == account else None

    return search


def test_page_that_polls_an_order_does_not_keep_the_follower_away(market, plan_id, buyer):
    order = intend(buyer, plan_id)
    tx_hash = send_buy(market, plan_id)
    services.orders_check([again(order)])
    assert state_of(order) == "intent", "a page searches for nothing"
    services.orders_follow()
    assert again(order).tx_hash == tx_hash
