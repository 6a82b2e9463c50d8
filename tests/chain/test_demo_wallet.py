"""The demo wallet: a short list of methods, on a development chain in demo mode only."""

import json

import pytest
from weighhouse.core import eip712

from chain import siwe
from chain.bindings import licence_market
from chain.demo_wallet import demo_wallet_request
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.errors import DemoWalletRefused, DevelopmentOnly
from chain.gateway.fake import FakeGateway
from chain.gateway.reverts import PlanHashDiffers
from chain.transactions import receipt_wait, simulate

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
    plan_hash = licence_market().plan_hash(plan_id).read()
    request = licence_market().buy(plan_id, plan_hash, market.buyer, value_wei=1000)
    transaction = {"from": market.buyer, **request.wallet_params()}
    tx_hash = demo_wallet_request("eth_sendTransaction", [transaction])
    assert receipt_wait(tx_hash).succeeded
    assert demo_wallet_request("eth_getTransactionReceipt", [tx_hash])["status"] == "0x1"
    assert [event["holder"] for event in market.events(tx_hash) if event["name"] == "LicenceBought"] == [market.buyer]


def test_wallet_tells_why_a_transaction_would_fail_before_it_is_sent(market):
    plan_id = market.add_plan(market.publish())
    nonce = demo_wallet_request("eth_getTransactionCount", [market.buyer, "latest"])
    request = licence_market().buy(plan_id, "0x" + "00" * 32, market.buyer, value_wei=1000)
    with pytest.raises(PlanHashDiffers) as caught:
        demo_wallet_request("eth_sendTransaction", [{"from": market.buyer, **request.wallet_params()}])
    assert caught.value.plan_id == plan_id
    assert demo_wallet_request("eth_getTransactionCount", [market.buyer, "latest"]) == nonce


def test_wallet_signs_typed_data_that_the_market_accepts(market):
    *_, licence_id = market.sold_licence()
    domain = eip712.market_domain(31337, licence_market().address)
    typed = eip712.cancel_request(domain, licence_id=licence_id, to=market.outsider, deadline=market.now + 600)
    for form in (json.dumps(typed.json()), typed.json()):
        signature = demo_wallet_request("eth_signTypedData_v4", [market.buyer, form])
        request = licence_market().cancel_by_sig(licence_id, market.outsider, market.now + 600, signature)
        simulate(request, sender=market.publisher)


def test_wallet_signs_no_typed_data_for_another_chain_or_account_or_of_another_form(market):
    typed = eip712.cancel_request(eip712.market_domain(1, market.usd), licence_id=1, to=market.buyer, deadline=1).json()
    assert refused("eth_signTypedData_v4", [market.buyer, json.dumps(typed)]) == 4902
    assert refused("eth_signTypedData_v4", ["0x" + "11" * 20, json.dumps(typed)]) == 4100
    for params in ([market.buyer, "{"], [market.buyer, "[]"], [market.buyer, {"domain": 5}]):
        assert refused("eth_signTypedData_v4", params) == -32602
    assert refused("eth_signTypedData_v4", [market.buyer]) in {-32602, 4100}


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
