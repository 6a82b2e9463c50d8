"""From the queue into a final block: order, failures, holding, cancelling."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from chain.abi import checksum
from chain.errors import EncodingError
from chain.gateway.errors import NodeUnavailable, RateLimited
from chain.models import OutboxAttempt, OutboxTransaction
from chain.outbox.errors import OutboxConflict, OutboxNotFound, OutboxNotOpen
from chain.outbox.selectors import outbox_get, outbox_list, outbox_status
from chain.outbox.services import outbox_cancel, outbox_prune, outbox_retry, transaction_enqueue
from chain.transactions import TransactionRequest, call_data
from tests.chain.outbox.conftest import send_once

pytestmark = pytest.mark.django_db


def refreshed(row):
    row.refresh_from_db()
    return row


def test_call_that_is_enqueued_is_signed_kept_sent_mined_and_final(outbox):
    row = outbox.mint(5)
    assert (row.state, row.nonce) == ("queued", None)
    first_nonce = outbox.nonce()
    sender = outbox.sender()
    sender.step()
    (attempt,) = outbox.attempts(row)
    assert refreshed(row).state == "signed"
    assert (row.nonce, row.tx_hash, row.sender) == (first_nonce, attempt.hash, outbox.address)
    assert attempt.sent_at is not None
    sender.step()
    assert (refreshed(row).state, row.outcome) == ("mined", "succeeded")
    receipt = outbox.rpc("eth_getTransactionReceipt", attempt.hash)
    assert (row.block_hash, row.block_number) == (receipt["blockHash"], int(receipt["blockNumber"], 16))
    assert row.cost_wei == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    sender.step()
    assert refreshed(row).state == "mined", "its block is not final"
    outbox.finalise()
    sender.step()
    assert refreshed(row).state == "final"
    assert outbox.minted() == [5]


def test_dedupe_key_that_was_used_adds_nothing_and_another_call_under_it_is_refused(outbox):
    first = outbox.mint(5)
    assert outbox.mint(5).pk == first.pk
    outbox.work()
    assert outbox.mint(5).pk == first.pk, "also when it was sent"
    outbox.work()
    assert outbox.minted() == [5]
    other = call_data("TestUSD", "mint", [outbox.market.buyer, 5])
    with pytest.raises(OutboxConflict):
        transaction_enqueue(purpose="test.mint", request=other, dedupe_key="mint:5")
    assert OutboxTransaction.objects.count() == 1


def test_cause_that_is_rolled_back_sends_nothing(outbox):
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.mint(5)
        raise RuntimeError
    assert not outbox_list().exists()
    outbox.work()
    assert outbox.minted() == []


@pytest.mark.parametrize(("to", "data"), [(None, "0x00"), ("0x" + "11" * 20, "0x0"), ("0x" + "11" * 20, "beef")])
def test_request_that_is_no_call_is_not_taken(outbox, to, data):
    with pytest.raises(EncodingError):
        transaction_enqueue(purpose="test", request=TransactionRequest(31337, to, data), dedupe_key="a")


def test_calls_are_sent_in_the_order_of_the_queue_and_no_more_than_allowed_at_once(outbox, by_hand):
    rows = [outbox.mint(units) for units in range(1, 6)]
    sender = outbox.sender(max_in_flight=3)
    first_nonce = outbox.nonce()
    sender.step()
    sender.step()
    assert sorted(outbox.pool()) == [first_nonce, first_nonce + 1, first_nonce + 2]
    by_hand()
    send_once(sender)
    assert sorted(outbox.pool()) == [first_nonce + 3, first_nonce + 4]
    by_hand()
    send_once(sender)
    assert outbox.minted() == [1, 2, 3, 4, 5]
    assert [refreshed(row).nonce for row in rows] == list(range(first_nonce, first_nonce + 5))


def test_call_that_would_fail_now_is_held_with_its_reason_and_takes_no_nonce_from_those_behind_it(outbox):
    market = outbox.market
    model_id = market.publish()
    request = call_data("ModelRegistry", "release", [model_id, "0x" + "02" * 32])
    bad = transaction_enqueue(purpose="test.release", request=request, dedupe_key="bad")
    good = outbox.mint(5)
    nonce = outbox.nonce()
    sender = outbox.sender(hold_tries=3)
    send_once(sender)
    assert (refreshed(bad).state, bad.reason_code, bad.nonce) == ("queued", "chain.reverted.not_model_owner", None)
    assert outbox.address in bad.reason
    assert bad.not_before > timezone.now()
    assert (refreshed(good).nonce, outbox.minted()) == (nonce, [5])
    assert (outbox_status().held, outbox_status().failed) == (1, 0)

    for _ in range(2):
        OutboxTransaction.objects.filter(pk=bad.pk).update(not_before=timezone.now() - timedelta(seconds=1))
        send_once(sender)
    assert (refreshed(bad).state, bad.tries) == ("failed", 3)
    assert not outbox_status().ok
    assert not OutboxAttempt.objects.filter(transaction=bad).exists()
    assert outbox_cancel(transaction_id=bad.pk).state == "cancelled"
    assert outbox_status().ok, "somebody has seen it"

    market.send("ModelRegistry", "transferFrom", [market.publisher, outbox.address, model_id], by=market.publisher)
    bad = outbox_retry(transaction_id=bad.pk)
    send_once(sender)
    assert (refreshed(bad).state, bad.outcome) == ("mined", "succeeded")
    assert market.read("ModelRegistry", "latestDigest", [model_id]) == "0x" + "02" * 32


def test_call_that_fails_in_its_block_says_why_and_is_sent_again_when_asked(outbox, by_hand):
    market = outbox.market
    market.anvil.rpc("evm_setAutomine", True)
    model_id = market.publish(by=outbox.address)
    market.send("ModelRegistry", "approve", [market.outsider, model_id], by=outbox.address)
    market.anvil.rpc("evm_setAutomine", False)
    request = call_data("ModelRegistry", "release", [model_id, "0x" + "02" * 32])
    row = transaction_enqueue(purpose="test.release", request=request, dedupe_key="late")
    sender = outbox.sender()
    sender.step()
    # The model is taken away by a transaction that pays more, and so comes first in the block.
    away = call_data("ModelRegistry", "transferFrom", [outbox.address, market.outsider, model_id])
    dear = {"from": market.outsider, "gas": hex(300_000), "maxFeePerGas": hex(10**11)}
    outbox.rpc("eth_sendTransaction", {**away.wallet_params(), **dear, "maxPriorityFeePerGas": hex(10**11)})
    by_hand()
    sender.step()
    assert (refreshed(row).state, row.outcome) == ("mined", "reverted")
    assert row.reason_code == "chain.reverted.not_model_owner"
    assert outbox.address in row.reason
    assert outbox_status().ok, "the page of the cause tells it, the sender is well"
    assert row.cost_wei > 0

    outbox.finalise()
    sender.step()
    assert refreshed(row).state == "final"
    again = outbox_retry(transaction_id=row.pk)
    assert again.pk != row.pk
    assert outbox_retry(transaction_id=row.pk).pk == again.pk


def test_cancelled_call_that_is_not_signed_is_never_sent(outbox):
    row = outbox.mint(5)
    assert outbox_cancel(transaction_id=row.pk).state == "cancelled"
    outbox.work()
    assert (outbox.minted(), OutboxAttempt.objects.count()) == ([], 0)
    with pytest.raises(OutboxNotOpen):
        outbox_cancel(transaction_id=row.pk)
    with pytest.raises(OutboxNotFound):
        outbox_cancel(transaction_id=row.pk + 1)
    again = outbox_retry(transaction_id=row.pk)
    outbox.work()
    assert (outbox.minted(), refreshed(again).outcome) == ([5], "succeeded")


def test_cancelled_call_that_is_signed_is_replaced_by_a_transfer_of_nothing_with_its_nonce(outbox, by_hand):
    row, behind = outbox.mint(5), outbox.mint(6)
    sender = outbox.sender()
    sender.step()
    outbox_cancel(transaction_id=row.pk)
    sender.step()
    call, cancel = outbox.attempts(row)
    assert (call.is_cancel, cancel.is_cancel, call.nonce) == (False, True, cancel.nonce)
    assert cancel.max_fee_wei * 8 >= call.max_fee_wei * 9
    assert outbox.pool()[cancel.nonce] == cancel.hash
    sender.step()
    assert len(outbox.attempts(row)) == 2, "once is enough"
    by_hand()
    send_once(sender)
    assert (refreshed(row).state, row.outcome) == ("mined", "cancelled")
    assert (refreshed(behind).outcome, outbox.minted()) == ("succeeded", [6])
    outbox.finalise()
    send_once(sender)
    assert (refreshed(row).state, refreshed(behind).state) == ("cancelled", "final")


def test_call_that_was_mined_before_its_cancellation_counts_as_mined(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    outbox_cancel(transaction_id=row.pk)
    by_hand()
    send_once(sender)
    assert (refreshed(row).state, row.outcome, outbox.minted()) == ("mined", "succeeded", [5])
    with pytest.raises(OutboxNotOpen):
        outbox_cancel(transaction_id=row.pk)
    with pytest.raises(OutboxNotOpen):
        outbox_retry(transaction_id=row.pk)


class Broken:
    """A gateway that fails at one method, before or after the real node did it."""

    def __init__(self, gateway, method, error, *, after=False):
        self._gateway, self._method, self._error, self._after = gateway, method, error, after
        self.chain_id = gateway.chain_id

    def __getattr__(self, name):
        return getattr(self._gateway, name)

    def request(self, method, params):
        if method != self._method:
            return self._gateway.request(method, params)
        if self._after:
            self._gateway.request(method, params)
        raise self._error


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [NodeUnavailable("The node at endpoint 1 does not answer."), RateLimited("later")])
def test_node_that_times_out_at_sending_never_makes_a_call_fail_nor_be_sent_twice(outbox, error, after):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.gateway = Broken(sender.gateway, "eth_sendRawTransaction", error, after=after)
    for _ in range(3 if not after else 1):
        with pytest.raises(type(error)):
            sender.step()
        assert refreshed(row).state == "signed"
    sender.error_report(error)
    assert outbox_status().error_code == error.code
    sender.close()
    outbox.work()
    assert (refreshed(row).outcome, outbox.minted()) == ("succeeded", [5])
    assert len(outbox.attempts(row)) == 1
    assert outbox_status().error_code == ""


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_feeHistory", "eth_getTransactionCount", "eth_getBalance"])
def test_node_that_fails_before_signing_leaves_the_queue_as_it_was(outbox, method):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.gateway = Broken(sender.gateway, method, NodeUnavailable("gone"))
    with pytest.raises(NodeUnavailable):
        sender.step()
    assert (refreshed(row).state, row.tries, OutboxAttempt.objects.count()) == ("queued", 0, 0)


def test_old_rows_that_are_final_are_pruned_and_no_others(outbox):
    rows = [outbox.mint(units) for units in (1, 2)]
    outbox.work()
    outbox.finalise()
    outbox.work()
    open_row = outbox.mint(3)
    old = timezone.now() - timedelta(days=100)
    OutboxTransaction.objects.exclude(pk=rows[1].pk).update(state_at=old)
    assert outbox_prune(older_than=timedelta(days=90)) == 1
    assert set(outbox_list().values_list("pk", flat=True)) == {rows[1].pk, open_row.pk}
    OutboxTransaction.objects.update(state_at=timezone.now() - timedelta(hours=30))
    assert outbox_prune(older_than=timedelta(0)) == 0, "sums of a day need it"


def test_status_names_what_waits_since_when_and_who_is_silent(outbox):
    assert (outbox_status().queued, outbox_status().ok, outbox_status().address) == (0, True, "")
    row = outbox.mint(5)
    status = outbox_status()
    assert (status.queued, status.oldest_at, status.error_code) == (1, row.created_at, "outbox.sender_silent")
    outbox.work()
    status = outbox_status()
    assert (status.queued, status.in_flight, status.oldest_at, status.ok) == (0, 0, None, True)
    assert status.address == checksum(outbox.address)
    assert status.spent_wei == refreshed(row).cost_wei
    assert outbox_get(dedupe_key="mint:5") == row
    assert outbox_get(dedupe_key="mint:6") is None
