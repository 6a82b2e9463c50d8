"""Refusals of contracts: ours by class, a stranger's as text that can harm nobody."""

import json

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain import abi
from chain.bindings import licence_market, model_registry, usd_token
from chain.gateway import get_gateway
from chain.gateway.classify import error_name
from chain.gateway.errors import Panicked, Reverted, RevertedSilently, RevertedUnread, RevertedWithText
from chain.gateway.revert_read import refusal_classes, revert_read
from chain.gateway.reverts import (
    LicenceUnknown,
    NotHolder,
    PlanHashDiffers,
    PlanUnknown,
    SettlesLater,
    SupplyExhausted,
    TokenWithoutCode,
)
from chain.gateway.reverts_standard import ERC20InsufficientAllowance, OwnableUnauthorizedAccount, TokenDoesNotExist
from chain.transactions import simulate

DECLARED = {item["name"]: item for name in abi.CONTRACTS for item in abi.artefact(name).errors.values()}
ZERO = {"address": "0x" + "00" * 20, "string": "", "bytes32": bytes(32)}


def data_of(signature: str, *values: object) -> bytes:
    types = signature.partition("(")[2].rstrip(")")
    return keccak(text=signature)[:4] + encode(types.split(",") if types else [], values)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_data_of_every_error_give_its_class(name):
    item = DECLARED[name]
    types = [part["type"] for part in item["inputs"]]
    data = data_of(f"{name}({','.join(types)})", *(ZERO.get(kind, 0) for kind in types))
    error = revert_read(data)
    assert type(error) is refusal_classes()[name]
    assert list(error.error_args) == [part["name"] for part in item["inputs"]]
    # Cut short, the same selector says nothing.
    if types:
        assert type(revert_read(data[:-1])) is RevertedUnread


def test_error_has_its_arguments_as_attributes_and_in_its_sentence():
    error = revert_read(data_of("SupplyExhausted(uint256,uint24)", 2**32 + 1, 3))
    assert isinstance(error, SupplyExhausted)
    assert (error.plan_id, error.supply) == (2**32 + 1, 3)
    assert error.code == "chain.reverted.supply_exhausted"
    assert error.message.startswith("All 3 licences of plan 4294967297 are out.")
    assert error.data == {"error": "SupplyExhausted", "args": {"planId": "4294967297", "supply": "3"}}


def test_text_of_a_stranger_is_cut_to_one_harmless_line():
    hostile = "Pay here:\r\n\x00\x1b[31m\u202eevil\u2066 https://thief.example/KEY \u200b" + "x" * 5000
    error = revert_read(data_of("Error(string)", hostile))
    assert isinstance(error, RevertedWithText)
    assert error.text.startswith("Pay here: [31mevil <url> xxx")
    assert len(error.text) <= 300
    assert error.text.isprintable()
    for place in (error.message, json.dumps(error.data), str(error.error_args)):
        assert "thief" not in place
        assert "\\u202e" not in place
    assert (error.code, error.error) == ("chain.reverted.text", "Error")


def test_text_that_is_no_text_is_left_unread():
    bad = keccak(text="Error(string)")[:4] + encode(["bytes"], [b"\xff\xfe\xfd"])
    assert type(revert_read(bad)) is RevertedUnread


def test_string_argument_of_an_error_is_cut_as_well():
    error = revert_read(data_of("StringTooLong(string)", "\x07a\u202eb" * 1000))
    assert len(error.data["args"]["str"]) <= 300
    assert error.data["args"]["str"].startswith("abab")
    assert error.message.isprintable()


@pytest.mark.parametrize(
    ("code", "words"), [(0x11, "too large or negative"), (0x01, "assertion"), (0x7F, "0x7f"), (2**255, "code 0x8000")]
)
def test_panic_says_what_failed(code, words):
    error = revert_read(data_of("Panic(uint256)", code))
    assert isinstance(error, Panicked)
    assert error.panic_code == code
    assert words in error.message
    assert len(error.message) < 250


def test_data_that_nobody_declares_are_kept_and_cut():
    error = revert_read(b"\xde\xad\xbe\xef" + b"\x01" * 100_000)
    assert isinstance(error, RevertedUnread)
    assert len(error.revert_data) == 1024
    assert error.message.count("0xdeadbeef") == 1
    assert len(error.message) < 300
    assert len(json.dumps(error.data)) < 500
    assert error.error == "Unknown"


@pytest.mark.parametrize("data", [b"", b"\x08", b"\x08\xc3\x79", b"\x08\xc3\x79\xa0", b"\x4e\x48\x7b\x71\x01"])
def test_data_that_are_hardly_any_are_some_refusal(data):
    assert isinstance(revert_read(data), RevertedSilently if not data else RevertedUnread)


def test_pointer_beyond_the_data_ends_at_once():
    for pointer in (2**256 - 1, 2**64, 32):
        data = keccak(text="Error(string)")[:4] + pointer.to_bytes(32) + (2**250).to_bytes(32)
        assert type(revert_read(data)) is RevertedUnread


def test_words_of_the_node_about_a_silent_refusal_are_kept():
    error = error_name({"code": 3, "message": "execution reverted\x00 at https://node/KEY"}, method="eth_call")
    assert isinstance(error, RevertedSilently)
    assert error.message.endswith("execution reverted at <url>")


def test_each_code_is_of_one_class():
    kinds = [*refusal_classes().values(), RevertedWithText, Panicked, RevertedUnread, RevertedSilently]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert Reverted.code == "chain.reverted"


class TestOnChain:
    """The same from a real node, by simulation before anything is signed."""

    def test_purchase_under_other_terms(self, market):
        plan_id = market.add_plan(market.publish())
        request = licence_market().buy(plan_id, "0x" + "11" * 32, market.buyer, value_wei=1000)
        with pytest.raises(PlanHashDiffers) as caught:
            simulate(request, sender=market.buyer)
        assert caught.value.actual_hash == licence_market().plan_hash(plan_id).read()
        assert caught.value.given_hash == "0x" + "11" * 32

    def test_purchase_without_an_approval(self, market):
        plan_id = market.add_plan(market.publish(), token=market.usd)
        plan_hash = licence_market().plan_hash(plan_id).read()
        with pytest.raises(ERC20InsufficientAllowance) as caught:
            simulate(licence_market().buy(plan_id, plan_hash, market.buyer, value_wei=0), sender=market.buyer)
        assert (caught.value.allowance_units, caught.value.needed_units) == (0, 1000)
        assert "Approve the price first" in caught.value.message

    def test_cancel_by_another_than_the_holder(self, market):
        *_, licence_id = market.sold_licence()
        with pytest.raises(NotHolder) as caught:
            simulate(licence_market().cancel(licence_id, market.outsider), sender=market.outsider)
        assert (caught.value.licence_id, caught.value.caller) == (licence_id, market.outsider)

    def test_settlement_before_a_cancel_and_of_nothing(self, market):
        *_, licence_id = market.sold_licence()
        with pytest.raises(SettlesLater) as caught:
            simulate(licence_market().settle(licence_id, market.buyer), sender=market.buyer)
        assert caught.value.settle_at == 0
        with pytest.raises(LicenceUnknown):
            simulate(licence_market().settle(licence_id + 1, market.buyer), sender=market.buyer)

    def test_roles_and_tokens(self, market):
        with pytest.raises(OwnableUnauthorizedAccount) as caught:
            simulate(licence_market().set_fee_bps(1), sender=market.buyer)
        assert caught.value.account == market.buyer
        with pytest.raises(TokenWithoutCode):
            simulate(licence_market().set_token_allowed(market.buyer, True), sender=market.admin)

    def test_views_of_what_is_not_there(self, market):
        with pytest.raises(PlanUnknown):
            licence_market().plan(7).read()
        with pytest.raises(TokenDoesNotExist):
            model_registry().owner_of(99).read()
        answers = get_gateway().call_many(
            [(view.to, view.data) for view in (licence_market().plan(7), usd_token().decimals())]
        )
        assert isinstance(answers[0], PlanUnknown)
        assert answers[1] == (6).to_bytes(32)
