"""What becomes of transactions whose hash was told: every state, and the way back from it, on a real chain."""

import pytest

from chain.gateway.jsonrpc import JsonRpcGateway
from chain.gateway.reverts import ValueDiffers
from marketplace.orders import selectors, services
from marketplace.orders.models import Order, OrderState
from tests.fixtures.people import OUTSIDER
from tests.market.order_steps import (
    GWEI,
    again,
    buy_transaction,
    follow,
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
FASTER = {"maxFeePerGas": 90 * GWEI, "maxPriorityFeePerGas": 9 * GWEI}


@pytest.fixture
def waiting(market, plan_id):
    with waiting_mempool(market):
        yield market


def test_order_in_the_mempool_is_pending_however_long_it_waits(waiting, plan_id, buyer):
    order = record(buyer, send_buy(waiting, plan_id), plan_id)
    follow()
    assert (state_of(order), again(order).nonce) == ("pending", nonce_of(waiting) - 1)
    make_old(order, days=2)
    follow()
    assert state_of(order) == "pending"
    waiting.mine()
    follow()
    assert state_of(order) == "mined"
    waiting.index()
    assert state_of(order) == "seen"


def test_order_reverted_by_the_contract_says_why(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id, value=1), plan_id)
    follow()
    order = again(order)
    assert (order.state, order.error["code"]) == ("reverted", ValueDiffers.code)
    assert (order.error["error"], order.error["args"]) == ("ValueDiffers", {"required": "1000", "sent": "1"})
    assert "needs exactly 1000 wei sent along, 1 came" in selectors.order_message(order)


def test_order_that_ran_out_of_gas_is_reverted_without_a_reason(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id, gas=60_000), plan_id)
    follow()
    order = again(order)
    assert (order.state, order.error["code"]) == ("reverted", "chain.reverted")
    assert "may have run out of gas" in selectors.order_message(order)


def test_order_reverted_in_a_block_that_a_reorg_removed_may_still_succeed(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id, value=1), plan_id)
    follow()
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine()
    follow()
    assert (state_of(order), again(order).error) == ("reorged", None)


def test_order_that_the_node_does_not_know_is_unknown_and_never_failed(market, plan_id, buyer):
    order = record(buyer, "0x" + "ab" * 32, plan_id)
    follow()
    assert state_of(order) == "sent"
    make_old(order)
    follow()
    assert state_of(order) == "unknown"


@pytest.mark.parametrize("state", ["unknown", "dropped", "replaced", "cancelled", "reorged", "reverted", "unmatched"])
def test_order_given_up_becomes_seen_when_it_is_mined_after_all(market, plan_id, buyer, state):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    Order.objects.update(followed_state=OrderState(state), replaced_by="0x" + "ab" * 32)
    follow()
    assert state_of(order) in ("mined", "unmatched")
    market.index()
    assert (state_of(order), again(order).replaced_by) == ("seen", "")


def test_order_that_the_node_forgot_is_dropped_after_a_while_and_comes_back(waiting, plan_id, buyer):
    sent = buy_transaction(waiting, plan_id, nonce=nonce_of(waiting))
    tx_hash = send(waiting, sent)
    order = record(buyer, tx_hash, plan_id)
    follow()
    waiting.anvil.rpc("anvil_dropTransaction", tx_hash)
    follow()
    assert state_of(order) == "pending", "forgotten a moment ago"
    make_old(order)
    follow()
    assert state_of(order) == "dropped"
    assert send(waiting, sent) == tx_hash
    follow()
    assert state_of(order) == "pending"
    waiting.mine()
    waiting.index()
    assert state_of(order) == "seen"


def test_order_cancelled_in_the_wallet_is_cancelled(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    order = record(buyer, send_buy(waiting, plan_id, nonce=nonce), plan_id)
    follow()
    cancel = send_cancel(waiting, nonce)
    waiting.mine(40)
    follow()
    assert (state_of(order), again(order).replaced_by) == ("cancelled", cancel)
    waiting.index()
    follow()
    assert state_of(order) == "cancelled"
    assert "empty transaction took its place" in selectors.order_message(again(order))


def test_order_whose_cancel_a_reorg_removed_is_followed_again(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    sent = buy_transaction(waiting, plan_id, nonce=nonce)
    order = record(buyer, send(waiting, sent), plan_id)
    follow()
    send_cancel(waiting, nonce)
    waiting.mine()
    follow()
    assert state_of(order) == "cancelled"
    waiting.anvil.rpc("anvil_rollback", 1)
    waiting.anvil.rpc("anvil_dropAllTransactions")
    send(waiting, sent)
    waiting.mine()
    follow()
    assert state_of(order) == "mined"


def test_order_that_was_sped_up_is_the_same_order_under_the_new_hash(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    first = send_buy(waiting, plan_id, nonce=nonce)
    order = record(buyer, first, plan_id)
    follow()
    second = send_buy(waiting, plan_id, nonce=nonce, **FASTER)
    waiting.mine()
    follow()
    assert (state_of(order), again(order).tx_hash) == ("pending", second)
    follow()
    assert state_of(order) == "mined"
    waiting.index()
    assert state_of(order) == "seen"
    assert record(buyer, first, plan_id).pk == order.pk, "the hash that the wallet told names the same order"


def test_order_replaced_by_something_else_is_replaced(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    order = record(buyer, send_buy(waiting, plan_id, nonce=nonce), plan_id)
    follow()
    other = {"from": buyer.address, "to": OUTSIDER, "value": "0x1", "nonce": hex(nonce)}
    fees = {name: hex(value) for name, value in FASTER.items()}
    other_hash = send(waiting, other | fees)
    waiting.mine()
    follow()
    assert (state_of(order), again(order).replaced_by) == ("replaced", other_hash)
    waiting.index()
    follow()
    assert state_of(order) == "replaced"


def test_order_replaced_before_anybody_saw_it_counts_where_the_other_did_the_same(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    order = services.order_intend(account=buyer, kind="buy", plan_id=plan_id)
    # A relay of the wallet's kept the first one to itself.
    services.order_tell(order=order, tx_hash="0x" + "ab" * 32)
    second = send_buy(waiting, plan_id, nonce=nonce)
    waiting.mine()
    follow()
    assert (state_of(order), again(order).replaced_by) == ("replaced", second)
    waiting.index()
    assert (state_of(order), again(order).tx_hash) == ("seen", second)


def test_order_reported_again_under_the_hash_of_its_speed_up_is_not_counted_twice(waiting, plan_id, buyer):
    nonce = nonce_of(waiting)
    order = record(buyer, send_buy(waiting, plan_id, nonce=nonce), plan_id)
    follow()
    faster = record(buyer, send_buy(waiting, plan_id, nonce=nonce, **FASTER), plan_id)
    waiting.mine()
    waiting.index()
    follow()
    assert (state_of(faster), state_of(order)) == ("seen", "replaced")


def test_order_of_a_purchase_that_a_reorg_removed_is_reorged_until_it_is_mined_again(market, plan_id, buyer):
    sent = buy_transaction(market, plan_id, nonce=nonce_of(market))
    tx_hash = send(market, sent)
    order = record(buyer, tx_hash, plan_id)
    market.index()
    assert state_of(order) == "seen"
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine()
    market.index()
    assert state_of(order) == "mined", "the index took it back, and the node was not asked yet"
    follow()
    assert state_of(order) == "reorged"
    assert "Nothing is lost" in selectors.order_message(again(order))
    assert send(market, sent) == tx_hash
    follow()
    market.index()
    assert state_of(order) == "seen"


def test_order_that_a_reorg_removed_and_the_wallet_cancelled_is_cancelled(market, plan_id, buyer):
    nonce = nonce_of(market)
    order = record(buyer, send_buy(market, plan_id, nonce=nonce), plan_id)
    market.index()
    # The index was faster than the follower, which learns the nonce all the same.
    follow()
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine()
    market.index()
    follow()
    assert state_of(order) == "reorged"
    send_cancel(market, nonce)
    follow()
    assert state_of(order) == "cancelled"


def test_order_of_somebody_elses_transaction_is_never_seen_nor_followed_by_its_nonce(market, plan_id, buyer, outsider):
    order = record(outsider, send_buy(market, plan_id), plan_id)
    market.index()
    follow()
    follow()
    order = again(order)
    assert (order.state, order.sender, order.nonce) == ("unmatched", buyer.address, None)
    assert "did something else" in selectors.order_message(order)
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine()
    # The outsider's own nonces say nothing about it.
    send_buy(market, plan_id, by=OUTSIDER)
    follow()
    assert state_of(order) == "reorged"


@pytest.mark.parametrize("state", [state for state in OrderState if state != OrderState.SEEN])
def test_order_in_any_state_is_not_changed_by_a_node_that_does_not_answer(plan_id, buyer, settings, state):
    order = record(buyer, "0x" + "ab" * 32, plan_id)
    make_old(order, hours=3)
    Order.objects.update(followed_state=state, nonce=7, block_number=3, block_hash="0x" + "cd" * 32)
    before = Order.objects.values().get()
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    follow()
    assert Order.objects.values().get() == before


def test_order_whose_answer_has_no_form_keeps_its_state_and_the_others_go_on(market, plan_id, buyer, monkeypatch):
    garbled = record(buyer, "0x" + "ab" * 32, plan_id)
    order = record(buyer, send_buy(market, plan_id), plan_id)
    real = JsonRpcGateway.request_many

    def request_many(gateway, calls):
        answers = real(gateway, calls)
        return [7 if garbled.tx_hash in params else answer for (_, params), answer in zip(calls, answers, strict=True)]

    monkeypatch.setattr(JsonRpcGateway, "request_many", request_many)
    make_old(garbled)
    follow()
    assert (state_of(garbled), state_of(order)) == ("sent", "mined")
    assert again(garbled).checked_at is not None
