"""What happens to transactions on their way: stuck, dropped, replaced, re-orged, and a key that somebody else uses."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain.development import OPERATOR_KEY
from chain.gateway import get_gateway
from chain.gateway.classify import error_name
from chain.gateway.errors import NodeUnavailable, RpcError
from chain.models import OutboxAccount, OutboxAttempt, OutboxTransaction
from chain.outbox.broadcast import Sent, raw_send
from chain.outbox.errors import LowBalance
from chain.outbox.selectors import outbox_status
from chain.outbox.services import outbox_cancel, transaction_enqueue
from chain.signing.local import LocalSigner
from chain.transactions import TransactionRequest
from tests.chain.outbox.conftest import send_once

pytestmark = pytest.mark.django_db

GWEI = 10**9


def refreshed(row):
    row.refresh_from_db()
    return row


def test_stuck_transaction_is_replaced_with_higher_fees_until_one_of_them_is_mined(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0)
    sender.step()
    sender.step()
    first, second = outbox.attempts(row)
    assert (first.nonce, first.gas) == (second.nonce, second.gas)
    assert second.max_fee_wei * 8 >= first.max_fee_wei * 9
    assert second.tip_wei * 8 >= first.tip_wei * 9
    assert outbox.pool() == {second.nonce: second.hash}
    by_hand()
    sender.step()
    assert (refreshed(row).outcome, row.tx_hash, outbox.minted()) == ("succeeded", second.hash, [5])


def test_transaction_that_is_not_old_enough_to_be_stuck_is_left_alone(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=3600)
    for _ in range(3):
        sender.step()
    assert len(outbox.attempts(row)) == 1


def test_first_attempt_that_is_mined_after_it_was_replaced_counts(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0)
    sender.step()
    sender.step()
    first, second = outbox.attempts(row)
    outbox.rpc("anvil_dropTransaction", second.hash)
    assert raw_send(get_gateway(), first.raw) is Sent.ACCEPTED
    by_hand()
    sender.step()
    assert (refreshed(row).state, row.outcome, row.tx_hash) == ("mined", "succeeded", first.hash)
    assert outbox.minted() == [5]


def test_base_fee_that_spikes_above_what_was_signed_leads_to_a_replacement_that_fits(outbox, by_hand):
    rows = [outbox.mint(1), outbox.mint(2)]
    sender = outbox.sender(stuck_s=0)
    sender.step()
    spike = 20 * max(attempt.max_fee_wei for attempt in OutboxAttempt.objects.all())
    outbox.rpc("anvil_setNextBlockBaseFeePerGas", hex(spike))
    by_hand()
    assert outbox.minted() == []
    sender.step()
    sender.step()
    assert [len(outbox.attempts(row)) for row in rows] == [2, 2], "also the one behind, or it would be stuck next"
    assert all(outbox.attempts(row)[-1].max_fee_wei > spike * 7 // 8 for row in rows)
    by_hand()
    send_once(sender)
    assert outbox.minted() == [1, 2]


class Dear:
    """A gateway whose node asks for this base fee in the next block."""

    def __init__(self, gateway, base_wei):
        self._gateway, self._base_wei = gateway, base_wei
        self.chain_id = gateway.chain_id

    def __getattr__(self, name):
        return getattr(self._gateway, name)

    def request(self, method, params):
        answer = self._gateway.request(method, params)
        if method == "eth_feeHistory":
            answer["baseFeePerGas"][-1] = hex(self._base_wei)
        return answer


@pytest.mark.parametrize(("factor", "second_attempts"), [(2, 2), (1, 1)])
def test_transaction_behind_another_is_replaced_only_where_the_next_block_asks_for_more(
    outbox, by_hand, factor, second_attempts
):
    rows = [outbox.mint(1), outbox.mint(2)]
    sender = outbox.sender(stuck_s=0)
    sender.step()
    signed_wei = outbox.attempts(rows[1])[0].max_fee_wei
    sender.gateway = Dear(sender.gateway, signed_wei * factor)
    sender.step()
    assert [len(outbox.attempts(row)) for row in rows] == [2, second_attempts]


def test_replacement_above_the_cap_is_not_signed_and_the_reason_is_told(outbox, by_hand, caplog):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0, max_fee_wei=4 * GWEI)
    sender.step()
    for _ in range(20):
        sender.step()
    fees = [attempt.max_fee_wei for attempt in outbox.attempts(row)]
    assert max(fees) <= 4 * GWEI
    assert fees[-1] * 9 > 4 * GWEI * 8, "as far as the cap allows"
    assert outbox_status().alarm_code == "outbox.fee_cap_reached"
    assert sum("fee_cap_reached" in record.message for record in caplog.records) == 1
    by_hand()
    send_once(sender)
    assert (outbox.minted(), outbox_status().alarm_code) == ([5], "")


def test_node_that_finds_a_replacement_underpriced_gets_a_higher_one(outbox, by_hand):
    row = outbox.mint(5)
    # A stranger's transaction with the same nonce and a high fee comes to the node first, which hides it in its count.
    sender = outbox.sender()
    nonce = outbox.nonce()
    outbox.by_key(nonce=hex(nonce), maxFeePerGas=hex(6 * GWEI), maxPriorityFeePerGas=hex(6 * GWEI))
    sender.gateway = Blind(sender.gateway)
    send_once(sender)
    attempts = outbox.attempts(row)
    assert [attempt.is_underpriced for attempt in attempts] == [True] * (len(attempts) - 1) + [False]
    assert len(attempts) > 2
    by_hand()
    send_once(sender)
    assert (refreshed(row).tx_hash, outbox.minted()) == (attempts[-1].hash, [5])


class Blind:
    """A gateway whose node does not count what waits."""

    def __init__(self, gateway):
        self._gateway = gateway
        self.chain_id = gateway.chain_id

    def __getattr__(self, name):
        return getattr(self._gateway, name)

    def request(self, method, params):
        if method == "eth_getTransactionCount" and params[1] == "pending":
            params = [params[0], "latest"]
        return self._gateway.request(method, params)


def test_transaction_that_the_node_dropped_is_sent_again_as_it_was(outbox, by_hand):
    rows = [outbox.mint(units) for units in (1, 2, 3)]
    sender = outbox.sender()
    sender.step()
    outbox.rpc("anvil_dropTransaction", refreshed(rows[1]).tx_hash)
    assert rows[1].nonce not in outbox.pool()
    sender.step()
    assert outbox.pool()[rows[1].nonce] == rows[1].tx_hash
    by_hand()
    send_once(sender)
    assert outbox.minted() == [1, 2, 3]
    assert OutboxAttempt.objects.count() == 3


def test_gap_that_a_dropped_stranger_left_before_ours_is_filled(outbox, by_hand):
    foreign = outbox.by_key()
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    assert refreshed(row).nonce == outbox.nonce() + 1, "behind the stranger's, which the node holds"
    outbox.rpc("anvil_dropTransaction", foreign)
    by_hand()
    assert outbox.minted() == []
    send_once(sender)
    by_hand()
    send_once(sender)
    assert (refreshed(row).outcome, outbox.minted()) == ("succeeded", [5])
    filler = OutboxTransaction.objects.get(purpose="outbox.gap")
    assert (filler.outcome, filler.to, filler.data, filler.value_wei) == ("succeeded", outbox.address, "0x", 0)


def test_gap_is_filled_by_the_next_call_where_there_is_one_also_with_the_limit_reached(outbox, by_hand):
    foreign = outbox.by_key()
    rows = [outbox.mint(5)]
    sender = outbox.sender(max_in_flight=1)
    sender.step()
    outbox.rpc("anvil_dropTransaction", foreign)
    rows.append(outbox.mint(6))
    send_once(sender)
    assert refreshed(rows[1]).nonce == outbox.nonce()
    by_hand()
    send_once(sender)
    assert outbox.minted() == [6, 5]
    assert OutboxTransaction.objects.count() == 2


def take_the_nonce(outbox, row, mine) -> str:
    """Somebody else's transaction takes the place of ours."""
    outbox.rpc("anvil_dropTransaction", row.tx_hash)
    foreign = outbox.by_key(nonce=hex(row.nonce))
    mine()
    return foreign


def test_nonce_that_a_stranger_took_is_given_up_only_when_their_block_is_final(outbox, by_hand, caplog):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    lost_nonce = refreshed(row).nonce
    foreign = take_the_nonce(outbox, row, by_hand)
    send_once(sender)
    assert (refreshed(row).state, row.nonce, row.reason_code) == ("signed", lost_nonce, "outbox.nonce_taken")
    assert foreign in row.reason
    send_once(sender)
    assert len(outbox.attempts(row)) == 1, "nothing else is signed that could be mined beside it"
    assert sum(foreign in record.message for record in caplog.records) == 1

    outbox.finalise()
    send_once(sender)
    by_hand()
    send_once(sender)
    assert (refreshed(row).outcome, outbox.minted()) == ("succeeded", [5])
    assert row.nonce > lost_nonce
    assert [attempt.nonce for attempt in outbox.attempts(row)] == [lost_nonce, row.nonce]


def test_nonce_that_a_stranger_took_does_not_hold_up_those_behind_it(outbox, by_hand):
    row, behind = outbox.mint(5), outbox.mint(6)
    sender = outbox.sender()
    sender.step()
    refreshed(row)
    take_the_nonce(outbox, row, by_hand)
    send_once(sender)
    by_hand()
    send_once(sender)
    assert outbox.minted() == [6]
    assert (refreshed(row).state, refreshed(behind).state) == ("signed", "mined")


def test_cancelled_transaction_whose_nonce_a_stranger_took_is_over_when_that_is_final(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    outbox_cancel(transaction_id=row.pk)
    take_the_nonce(outbox, refreshed(row), by_hand)
    outbox.finalise()
    send_once(sender)
    assert (refreshed(row).state, outbox.minted()) == ("cancelled", [])


def test_stranger_that_a_re_org_removes_leaves_the_nonce_to_ours(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    take_the_nonce(outbox, refreshed(row), by_hand)
    send_once(sender)
    outbox.rpc("anvil_rollback", 1)
    outbox.rpc("anvil_dropAllTransactions")
    send_once(sender)
    by_hand()
    send_once(sender)
    assert (refreshed(row).outcome, outbox.minted(), len(outbox.attempts(row))) == ("succeeded", [5], 1)


def test_call_that_is_on_chain_under_a_hash_nobody_noted_is_found_by_sender_and_nonce_and_counted(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    refreshed(row)
    outbox.rpc("anvil_dropTransaction", row.tx_hash)
    lost = outbox.by_key(nonce=hex(row.nonce), to=row.to, data=row.data, value="0x0", gas=hex(200_000))
    by_hand()
    send_once(sender)
    assert (refreshed(row).state, row.outcome, row.tx_hash) == ("mined", "succeeded", lost)
    assert outbox.minted() == [5]


class Lagging:
    """A gateway whose node counts as many transactions less as `by` says."""

    def __init__(self, gateway, by):
        self._gateway, self._by = gateway, by
        self.chain_id = gateway.chain_id

    def __getattr__(self, name):
        return getattr(self._gateway, name)

    def request(self, method, params):
        answer = self._gateway.request(method, params)
        return hex(int(answer, 16) - self._by) if method == "eth_getTransactionCount" else answer


def test_nonce_that_a_lagging_node_gave_twice_is_given_up_and_the_call_is_not_taken_for_the_other(outbox):
    first = outbox.mint(5)
    outbox.work()
    outbox.finalise()
    outbox.work()
    assert refreshed(first).state == "final"
    same = TransactionRequest(31337, first.to, first.data)
    second = transaction_enqueue(purpose="test.mint", request=same, dedupe_key="the same once more")
    sender = outbox.sender()
    honest, sender.gateway = sender.gateway, Lagging(sender.gateway, 1)
    sender.step()
    assert (refreshed(second).nonce, second.state) == (first.nonce, "signed")
    assert outbox.minted() == [5]
    sender.gateway = honest
    send_once(sender)
    assert (refreshed(second).outcome, outbox.minted()) == ("succeeded", [5, 5])
    assert refreshed(first).state == "final"


def test_re_org_that_removes_the_block_moves_back_and_the_same_signature_is_mined_again(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender()
    sender.step()
    by_hand()
    send_once(sender)
    before = refreshed(row).tx_hash
    assert row.state == "mined"
    outbox.rpc("anvil_rollback", 1)
    outbox.rpc("anvil_dropAllTransactions")
    send_once(sender)
    assert refreshed(row).state == "mined", "a node that is shorter may only lag"
    outbox.market.mine()
    sender.step()
    assert (refreshed(row).state, row.tx_hash, row.block_number, row.cost_wei) == ("signed", before, None, None)
    assert outbox.pool() == {row.nonce: before}
    by_hand()
    send_once(sender)
    assert (refreshed(row).state, row.tx_hash, outbox.minted()) == ("mined", before, [5])
    assert len(outbox.attempts(row)) == 1


def test_re_org_that_removes_the_first_of_two_attempts_sends_that_one_again(outbox, by_hand):
    row = outbox.mint(5)
    sender = outbox.sender(stuck_s=0)
    sender.step()
    sender.step()
    first, second = outbox.attempts(row)
    outbox.rpc("anvil_dropTransaction", second.hash)
    raw_send(get_gateway(), first.raw)
    by_hand()
    sender.step()
    assert refreshed(row).tx_hash == first.hash
    outbox.rpc("anvil_rollback", 1)
    outbox.rpc("anvil_dropAllTransactions")
    by_hand()
    sender.step()
    assert outbox.pool() == {first.nonce: first.hash}
    by_hand()
    sender.step()
    assert (refreshed(row).tx_hash, outbox.minted()) == (first.hash, [5])


def test_node_that_has_a_transaction_already_accepts_it_and_one_that_mined_it_says_that_its_nonce_is_used(
    outbox, by_hand
):
    row = outbox.mint(5)
    outbox.sender().step()
    (attempt,) = outbox.attempts(row)
    assert raw_send(get_gateway(), attempt.raw) is Sent.ACCEPTED
    by_hand()
    assert raw_send(get_gateway(), attempt.raw) is Sent.NONCE_USED
    assert outbox.minted() == [5]


class Refusing:
    def __init__(self, words):
        self._words = words

    def request(self, method, params):
        raise error_name({"code": -32000, "message": self._words}, method=method)


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("already known", Sent.ACCEPTED),  # geth, reth
        ("ALREADY_EXISTS: already known", Sent.ACCEPTED),  # Erigon
        ("AlreadyKnown", Sent.ACCEPTED),  # Nethermind
        ("Known transaction", Sent.ACCEPTED),  # Besu
        ("transaction already imported", Sent.ACCEPTED),  # anvil
        ("nonce too low: next nonce 5, tx nonce 4", Sent.NONCE_USED),  # geth
        ("OldNonce", Sent.NONCE_USED),  # Nethermind
        ("Nonce too low", Sent.NONCE_USED),  # Besu
        ("replacement transaction underpriced", Sent.UNDERPRICED),  # geth, anvil
        ("transaction underpriced: tip needed 1, tip permitted 0", Sent.UNDERPRICED),  # geth
        ("FeeTooLow, MaxFeePerGas too low", Sent.UNDERPRICED),  # Nethermind
        ("max fee per gas less than block base fee", Sent.UNDERPRICED),  # geth, anvil
    ],
)
def test_words_of_nodes_at_sending_are_understood(words, meaning):
    assert raw_send(Refusing(words), "0x") is meaning


def test_words_about_money_are_the_account_s_and_others_are_told_as_they_are():
    with pytest.raises(LowBalance):
        raw_send(Refusing("insufficient funds for gas * price + value: balance 0"), "0x")
    with pytest.raises(RpcError, match="exceeds block gas limit"):
        raw_send(Refusing("exceeds block gas limit"), "0x")


def test_re_org_that_moves_the_transaction_to_another_block_is_followed(outbox):
    row = outbox.mint(5)
    send_once(sender := outbox.sender())
    first = (refreshed(row).block_hash, row.block_number)
    raw = outbox.attempts(row)[0].raw
    outbox.rpc("anvil_reorg", 1, [[raw, 0]])
    outbox.market.mine()
    send_once(sender)
    assert (refreshed(row).state, outbox.minted()) == ("mined", [5])
    receipt = outbox.rpc("eth_getTransactionReceipt", row.tx_hash)
    assert row.block_hash == receipt["blockHash"] != first[0]


def test_key_that_was_exchanged_leaves_what_the_old_one_signed_to_be_mined(outbox, by_hand):
    market = outbox.market
    row = outbox.mint(5)
    outbox.sender().step()
    again = outbox.mint(6)
    OutboxAccount.objects.update(lease_owner="")
    sender = outbox.sender(signer=LocalSigner(market.keys[market.pauser]), stuck_s=0)
    sender.step()
    assert (refreshed(row).reason_code, row.state) == ("outbox.signer_changed", "signed")
    assert refreshed(again).sender == market.pauser
    by_hand()
    send_once(sender)
    assert sorted(outbox.minted()) == [5, 6]


class Interrupted:
    """A signer during whose work another sender takes over and finishes its own round."""

    def __init__(self, signer, meanwhile):
        self._signer, self._meanwhile, self.address = signer, meanwhile, signer.address

    def sign_transaction(self, fields):
        self._meanwhile()
        return self._signer.sign_transaction(fields)


def test_sender_that_is_replaced_while_it_signs_keeps_and_sends_nothing_of_it(outbox):
    row = outbox.mint(5)
    quick = outbox.sender()

    def take_over():
        OutboxAccount.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert quick.step().changes == 1

    slow = outbox.sender(signer=Interrupted(LocalSigner(OPERATOR_KEY.key), take_over))
    assert slow.step().standby
    assert len(outbox.attempts(row)) == 1
    send_once(quick)
    assert outbox.minted() == [5]


def test_call_that_is_cancelled_while_it_is_signed_is_not_sent(outbox):
    row = outbox.mint(5)
    cancel = Interrupted(LocalSigner(OPERATOR_KEY.key), lambda: outbox_cancel(transaction_id=row.pk))
    send_once(outbox.sender(signer=cancel))
    assert (refreshed(row).state, outbox.attempts(row), outbox.minted()) == ("cancelled", [], [])


@pytest.mark.parametrize("claimed", [2**40, 2**70])
def test_node_that_claims_to_hold_a_million_transactions_gets_nothing_signed(outbox, monkeypatch, claimed):
    row = outbox.mint(5)
    real = get_gateway().request

    def boastful(method, params):
        if method == "eth_getTransactionCount" and params[1] == "pending":
            return hex(claimed)
        return real(method, params)

    sender = outbox.sender()
    with monkeypatch.context() as patch:
        patch.setitem(vars(sender.gateway), "request", boastful)
        with pytest.raises(NodeUnavailable):
            sender.step()
    assert not outbox.attempts(row)
    sender.close()
    send_once(outbox.sender())
    assert refreshed(row).nonce is not None
