"""Sending a transaction through one node and through several: what is tried again, and what a refusal proves."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account

from chain.gateway.errors import (
    InsufficientFunds,
    NodeUnavailable,
    NonceTooLow,
    SendRefused,
    TransactionUnderpriced,
)
from chain.gateway.jsonrpc import JsonRpcGateway
from tests.chain.nodes import CHAIN, Node, failing, gateway_to

RAW = "0x02f8"
SEND = "eth_sendRawTransaction"
KEY = "0x" + "07" * 32


class Sender:
    """An account with coins on a chain that mines when it is told to."""

    def __init__(self, anvil: Any) -> None:
        self.anvil = anvil
        self.account = Account.from_key(KEY)
        self.gateway = JsonRpcGateway([anvil.url], chain_id=CHAIN)
        anvil.rpc("anvil_setBalance", self.account.address, hex(10**18))

    def signed(self, **changes: Any) -> tuple[str, str]:
        """A transfer of 1 wei to itself: the raw bytes and the hash."""
        transaction = {
            "chainId": CHAIN,
            "nonce": 0,
            "gas": 21_000,
            "to": self.account.address,
            "value": 1,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
        }
        signed = self.account.sign_transaction(transaction | changes)
        return "0x" + signed.raw_transaction.hex(), "0x" + signed.hash.hex()

    def send(self, **changes: Any) -> str:
        return str(self.gateway.request(SEND, [self.signed(**changes)[0]]))


@pytest.fixture
def sender(make_anvil) -> Iterator[Sender]:
    yield Sender(make_anvil(arguments=["--no-mining"]))


def test_transaction_that_a_real_node_has_already_is_success_with_its_hash(sender):
    raw, tx_hash = sender.signed()
    assert sender.gateway.request(SEND, [raw]) == tx_hash
    assert sender.gateway.request(SEND, [raw]) == tx_hash


def test_refusals_of_a_real_node_have_their_names(sender):
    sender.send()
    with pytest.raises(TransactionUnderpriced) as caught:
        sender.send(value=2)
    assert caught.value.replacement
    with pytest.raises(TransactionUnderpriced) as caught:
        sender.send(nonce=1, maxFeePerGas=1, maxPriorityFeePerGas=1)
    assert not caught.value.replacement
    with pytest.raises(InsufficientFunds):
        sender.send(nonce=1, value=10**20)
    sender.anvil.rpc("evm_mine")
    with pytest.raises(NonceTooLow) as low:
        sender.send()
    assert not low.value.maybe_sent
    assert sender.gateway.receipt(sender.signed()[1]).succeeded, "the nonce was used by this very transaction"


def test_transaction_is_sent_to_the_next_endpoint_where_the_first_does_not_answer(make_node):
    first, second = make_node(), make_node()
    first.status, first.raw = 502, b"bad gateway"
    second.reply = lambda method, params: "0x" + "ab" * 32
    assert gateway_to(first, second).request(SEND, [RAW]) == "0x" + "ab" * 32


def unanswered(node: Node) -> None:
    """The node takes the transaction and its answer is lost."""
    node.reply = failing(-32603, "upstream timed out")


def test_second_endpoint_that_knows_the_transaction_already_makes_it_a_success(make_node):
    first, second = make_node(), make_node()
    unanswered(first)
    second.reply = failing(-32000, "already known")
    raw, tx_hash = Account.from_key(KEY).sign_transaction(
        {"chainId": CHAIN, "nonce": 0, "gas": 21_000, "to": "0x" + "11" * 20, "value": 0, "gasPrice": 1}
    )[:2]
    assert gateway_to(first, second).request(SEND, ["0x" + raw.hex()]) == "0x" + tx_hash.hex()


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("nonce too low", NonceTooLow),
        ("insufficient funds for gas * price + value", InsufficientFunds),
        ("replacement transaction underpriced", TransactionUnderpriced),
        ("exceeds block gas limit", SendRefused),
    ],
)
def test_refusal_after_another_endpoint_did_not_answer_proves_nothing_and_says_so(make_node, message, kind):
    first, second = make_node(), make_node()
    unanswered(first)
    second.reply = failing(-32000, message)
    gateway = gateway_to(first, second)
    with pytest.raises(kind) as caught:
        gateway.request(SEND, [RAW])
    assert caught.value.maybe_sent
    with pytest.raises(kind) as caught:
        gateway_to(second).request(SEND, [RAW])
    assert not caught.value.maybe_sent


def test_refusal_by_the_first_endpoint_is_not_taken_to_the_second(make_node):
    first, second = make_node(), make_node()
    first.reply = failing(-32000, "insufficient funds for gas * price + value")
    with pytest.raises(InsufficientFunds):
        gateway_to(first, second).request(SEND, [RAW])
    assert SEND not in second.calls


def test_endpoint_that_misses_the_transactions_before_is_no_reason_to_give_up(make_node):
    first, second = make_node(), make_node()
    first.reply = failing(-32010, "NonceGap, Future nonce. Expected nonce: 10")
    second.reply = lambda method, params: "0x" + "ab" * 32
    gateway = gateway_to(first, second)
    assert gateway.request(SEND, [RAW]) == "0x" + "ab" * 32
    assert gateway.endpoint_health()[0].state == "healthy"


@pytest.mark.parametrize(
    "method", ["eth_sendTransaction", "personal_sign", "evm_mine", "admin_addPeer", "eth_newFilter"]
)
def test_method_that_may_change_something_is_sent_once(make_node, method):
    first, second = make_node(), make_node()
    unanswered(first)
    with pytest.raises(NodeUnavailable):
        gateway_to(first, second).request(method, [])
    assert first.calls.count(method) == 1
    assert method not in second.calls


def test_method_that_may_change_something_goes_to_the_second_endpoint_where_the_first_was_never_given_it(make_node):
    first, second = make_node(), make_node()
    first.chain_id = 1
    second.reply = lambda method, params: "0x1"
    assert gateway_to(first, second).request("eth_sendTransaction", [{}]) == "0x1"
    assert "eth_sendTransaction" not in first.calls
