"""The demo wallet: a short list of methods, on a development chain in demo mode only."""

import pytest

from chain import siwe
from chain.demo_wallet import demo_wallet_request
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.errors import DemoWalletRefused, DevelopmentOnly
from chain.gateway.errors import Reverted
from chain.gateway.fake import FakeGateway
from chain.transactions import call_data

STRANGER = "0x" + "ab" * 20


def refused(method, params) -> int:
    with pytest.raises(DemoWalletRefused) as caught:
        demo_wallet_request(method, params)
    return caught.value.rpc_code


@pytest.mark.parametrize("method", ["eth_accounts", "eth_requestAccounts"])
def test_wallet_lists_the_development_accounts(market, method):
    assert demo_wallet_request(method, []) == [account.address for account in DEVELOPMENT_ACCOUNTS]


def test_wallet_signs_in_with_text_and_with_hex(market):
    message = siwe.message_build(market.buyer, nonce="a" * 16)
    for form in (message, "0x" + message.encode().hex()):
        signature = demo_wallet_request("personal_sign", [form, market.buyer])
        assert siwe.message_verify(message, signature, nonce="a" * 16) == market.buyer


def test_wallet_buys_a_licence(market):
    plan_id = market.add_plan(market.publish())
    request = call_data(
        "LicenceMarket", "buy", [plan_id, market.read("LicenceMarket", "planHash", [plan_id]), market.buyer]
    )
    transaction = {"from": market.buyer, **request.wallet_params(), "value": hex(1000)}
    tx_hash = demo_wallet_request("eth_sendTransaction", [transaction])
    assert demo_wallet_request("eth_getTransactionReceipt", [tx_hash])["status"] == "0x1"
    assert [event["holder"] for event in market.events(tx_hash) if event["name"] == "LicenceBought"] == [market.buyer]


def test_wallet_tells_why_a_transaction_would_fail_before_it_is_sent(market):
    plan_id = market.add_plan(market.publish())
    nonce = demo_wallet_request("eth_getTransactionCount", [market.buyer, "latest"])
    request = call_data("LicenceMarket", "buy", [plan_id, "0x" + "00" * 32, market.buyer])
    with pytest.raises(Reverted) as caught:
        demo_wallet_request("eth_sendTransaction", [{"from": market.buyer, **request.wallet_params()}])
    assert caught.value.error in {"PlanHashDiffers", "ValueDiffers"}
    assert demo_wallet_request("eth_getTransactionCount", [market.buyer, "latest"]) == nonce


def test_wallet_switches_to_its_own_chain_only(market):
    assert demo_wallet_request("wallet_switchEthereumChain", [{"chainId": "0x7a69"}]) is None
    assert refused("wallet_switchEthereumChain", [{"chainId": "0x1"}]) == 4902
    assert refused("wallet_switchEthereumChain", [{"chainId": "1"}]) == -32602
    assert refused("wallet_switchEthereumChain", []) == -32602


@pytest.mark.parametrize(
    "method",
    [
        "anvil_setBalance", "anvil_impersonateAccount", "evm_revert", "evm_mine", "debug_traceTransaction", "eth_sign",
        "eth_signTransaction", "eth_sendRawTransaction", "personal_unlockAccount", "eth_getLogs", "eth_newFilter",
        "txpool_content", "web3_clientVersion", "", "x" * 5000,
    ],
)  # fmt: skip
def test_wallet_does_not_know_other_methods(market, method):
    assert refused(method, []) == 4200


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("personal_sign", ["0x00", STRANGER], 4100),
        ("personal_sign", ["0x00"], -32602),
        ("personal_sign", [{"a": 1}, STRANGER], -32602),
        ("eth_sendTransaction", [{"from": STRANGER, "to": STRANGER}], 4100),
        ("eth_sendTransaction", [{"to": STRANGER}], 4100),
        ("eth_sendTransaction", [{"from": DEVELOPMENT_ACCOUNTS[0].address}], -32602),
        ("eth_sendTransaction", [{"from": DEVELOPMENT_ACCOUNTS[0].address, "to": STRANGER, "evil": 1}], -32602),
        ("eth_sendTransaction", [{"from": DEVELOPMENT_ACCOUNTS[0].address, "to": STRANGER, "chainId": "0x1"}], 4902),
        ("eth_sendTransaction", [], -32602),
        ("eth_sendTransaction", ["0x"], -32602),
        ("eth_call", [1, 2, 3, 4], -32602),
        ("eth_call", ["0x" + "00" * 40_000], -32602),
        ("eth_call", {"to": STRANGER}, -32602),
    ],
)
def test_wallet_refuses_requests_of_another_form(market, method, params, code):
    assert refused(method, params) == code


@pytest.mark.parametrize("setting", ["DEMO", "DEMO_WALLET"])
def test_wallet_is_off_outside_demo_mode(market, settings, setting):
    setattr(settings, setting, False)
    assert refused("eth_accounts", []) == 4100


def test_wallet_refuses_other_chains_by_the_settings(settings):
    settings.CHAIN_ID = 1
    with pytest.raises(DevelopmentOnly):
        demo_wallet_request("eth_accounts", [])


def test_wallet_refuses_a_node_that_reports_another_chain(settings):
    settings.CHAIN_GATEWAY = FakeGateway(chain_id=1)
    with pytest.raises(DevelopmentOnly):
        demo_wallet_request("eth_accounts", [])
