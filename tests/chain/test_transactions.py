"""Requests for wallets, and transactions signed with a local key."""

from dataclasses import astuple

import pytest

from chain import abi
from chain.bindings import licence_market, model_registry
from chain.bindings.structs import PlanTerms
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.errors import EncodingError, TransactionFailed, TransactionTimeout, UnknownContract
from chain.gateway.reverts import NotModelOwner
from chain.transactions import TransactionRequest, address_of, call_data, receipt_wait, send, simulate

PUBLISHER = DEVELOPMENT_ACCOUNTS[1]


def test_call_data_names_chain_contract_and_value(market):
    request = call_data("LicenceMarket", "buy", [2**40, "0x" + "11" * 32, market.buyer], value=5)
    assert (request.chain_id, request.to, request.value) == (31337, market.book.contract("LicenceMarket").address, 5)
    assert request.wallet_params() == {"to": request.to, "data": request.data, "value": "0x5"}
    assert request.json() == {"chain_id": "31337", "to": request.to, "data": request.data, "value": "5"}


def test_call_data_encodes_a_struct_from_a_dict_as_from_a_tuple(market):
    terms = PlanTerms(1, "0x" + "00" * 20, 2, *range(3, 12))
    names = [part["name"] for part in abi.artefact("LicenceMarket").functions["addPlan"]["inputs"][0]["components"]]
    by_name = call_data("LicenceMarket", "addPlan", [dict(zip(names, astuple(terms), strict=True))])
    assert by_name == call_data("LicenceMarket", "addPlan", [astuple(terms)])
    assert by_name == licence_market().add_plan(terms)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("publish", []),
        ("publish", [b"\x01" * 33, [], 0]),
        ("publish", ["0xzz", [], 0]),
        ("publish", [5, [], 0]),
        ("publish", [b"\x01" * 32, [(1, 2, 3)], 0]),
        ("publish", [b"\x01" * 32, [{"modelId": 1}], 0]),
        ("publish", [b"\x01" * 32, None, 0]),
        ("publish", [b"\x01" * 32, [], 2**16]),
        ("release", [-1, b"\x01" * 32]),
        ("release", [2**256, b"\x01" * 32]),
        ("release", ["1", b"\x01" * 32]),
        ("unheardOf", []),
    ],
)
def test_call_data_that_does_not_fit_is_refused(market, function, args):
    with pytest.raises(EncodingError):
        call_data("ModelRegistry", function, args)


def test_call_data_for_an_unknown_contract_or_less_than_nothing_is_refused(market):
    with pytest.raises(UnknownContract):
        call_data("../../etc/passwd", "publish", [])
    with pytest.raises(EncodingError):
        call_data("ModelRegistry", "publish", [b"\x01" * 32, [], 0], value=-1)
    with pytest.raises(EncodingError):
        licence_market().buy(1, "0x" + "00" * 32, market.buyer, value_wei=2**256)


def test_transaction_sent_with_a_local_key_is_mined_and_from_its_address(market):
    tx_hash = send(PUBLISHER.key, model_registry().publish(b"\x07" * 32, [], 0))
    receipt = receipt_wait(tx_hash)
    assert (receipt.succeeded, receipt.sender) == (True, PUBLISHER.address)
    assert address_of(PUBLISHER.key) == PUBLISHER.address
    assert market.read("ModelRegistry", "latestDigest", [1]) == "0x" + "07" * 32


def test_transaction_that_would_fail_is_not_sent_and_names_the_contracts_error(market):
    model_id = market.publish()
    request = call_data("ModelRegistry", "release", [model_id, b"\x02" * 32])
    before = market.anvil.rpc("eth_blockNumber")
    with pytest.raises(NotModelOwner) as caught:
        send(DEVELOPMENT_ACCOUNTS[3].key, request)
    assert (caught.value.model_id, caught.value.caller) == (model_id, market.outsider)
    assert market.anvil.rpc("eth_blockNumber") == before
    with pytest.raises(NotModelOwner):
        simulate(request, sender=market.outsider)
    simulate(request, sender=market.publisher)


def test_transaction_that_failed_in_its_block_tells_why(market):
    request = model_registry().publish(b"\x00" * 32, [], 0)
    params = {"from": market.buyer, "gas": "0x50000", **request.wallet_params()}
    tx_hash = market.anvil.rpc("eth_sendTransaction", params)
    with pytest.raises(TransactionFailed, match="needs the digest"):
        receipt_wait(tx_hash)


def test_transaction_that_nobody_mines_times_out(market):
    with pytest.raises(TransactionTimeout):
        receipt_wait("0x" + "ab" * 32, timeout_s=0.1)


def test_private_key_of_another_form_is_refused_without_being_repeated():
    with pytest.raises(EncodingError) as caught:
        address_of("0xdeadbeefdeadbeef")
    assert "deadbeef" not in str(caught.value)


def test_deployment_request_has_no_address():
    assert "to" not in TransactionRequest(1, None, "0x00").wallet_params()


def test_event_arguments_are_named_by_the_standards():
    names = {event.name: event.order for event in abi.artefact("LicenceMarket").events.values()}
    assert names["Transfer"] == ("from", "to", "tokenId")
    assert names["LicenceBought"][:3] == ("licenceId", "planId", "holder")
