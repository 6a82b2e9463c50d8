"""What the contracts compute equals what Python computes from the same input, on a real chain."""

import base64
import json
from urllib.parse import unquote

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from weighhouse.core.cid import Cid, root_cid

from tests.fixtures.contracts import DOWNLOAD, NATIVE, RUN, TRANSFERABLE, Market

# The directory tree of tests/core/golden_cids.json.
TREE = "bafybeiazreqhrchv5yhbisdyruow35yyjxkswu36fkxymg4zy7lbn2sfle"
TERMS_TYPE = "(uint256,address,uint96,uint32,uint32,uint32,uint24,uint16,uint32,uint16,uint16,uint8)"
TERMS = (
    "token",
    "price",
    "period",
    "vesting",
    "calls",
    "supply",
    "feeBps",
    "operatorId",
    "serviceBps",
    "entryBps",
    "flags",
)


@pytest.mark.parametrize(
    "digest",
    [Cid.parse(TREE).digest, b"\x00" * 31 + b"\x01", b"\xff" * 32, bytes(range(32))],
    ids=["tree", "one", "ones", "counting"],
)
def test_token_uri_of_a_model_is_the_root_cid_that_python_writes(market: Market, digest: bytes) -> None:
    model_id = market.publish(digest)
    uri = market.read("ModelRegistry", "tokenURI", [model_id])
    assert uri == f"ipfs://{root_cid(digest)}/manifest.json"


def test_token_uri_after_a_release_follows_it(market: Market) -> None:
    model_id = market.publish(b"\x01" * 32)
    market.release(model_id, Cid.parse(TREE).digest)
    assert market.read("ModelRegistry", "tokenURI", [model_id]) == f"ipfs://{TREE}/manifest.json"


def test_plan_hash_is_the_keccak_of_the_terms(market: Market) -> None:
    model_id = market.publish()
    numbers = (7, 86_400, 86_400, 5, 3, 0, market.operator_id, 1_000, 2_000, RUN | TRANSFERABLE)
    terms = dict(zip(TERMS, (market.usd, *numbers), strict=True))
    plan_id = market.add_plan(model_id, **terms)
    expected = keccak(encode([TERMS_TYPE], [(model_id, *terms.values())]))
    assert market.read("LicenceMarket", "planHash", [plan_id]) == "0x" + expected.hex()


def test_ids_of_plans_and_licences_contain_those_above_them(market: Market) -> None:
    model_id = market.publish()
    market.add_plan(model_id)
    plan_id = market.add_plan(model_id, flags=DOWNLOAD)
    market.buy(plan_id)
    licence_id = market.buy(plan_id)
    assert plan_id == model_id << 32 | 2
    assert licence_id == plan_id << 32 | 2


def test_events_of_a_purchase_introduce_an_id_before_its_transfer(market: Market) -> None:
    published = market.send("ModelRegistry", "publish", [b"\x05" * 32, [], 0], by=market.publisher)
    assert [event["name"] for event in published] == ["ModelPublished", "ReleasePublished", "Transfer"]
    plan_id = market.add_plan(published[0]["modelId"], token=NATIVE, price=9)
    agreed = market.read("LicenceMarket", "planHash", [plan_id])
    args = [plan_id, agreed, market.buyer]
    bought = market.send("LicenceMarket", "buy", args, by=market.buyer, value=9)
    assert [event["name"] for event in bought] == ["LicenceBought", "Transfer"]


@pytest.mark.parametrize(("contract", "name"), [("ModelRegistry", "models"), ("LicenceMarket", "licences")])
def test_contract_uri_is_json_that_names_the_collection(market: Market, contract: str, name: str) -> None:
    media, _, body = market.read(contract, "contractURI", []).partition(",")
    assert media.startswith("data:application/json")
    text = base64.b64decode(body, validate=True).decode() if media.endswith(";base64") else unquote(body)
    assert json.loads(text)["name"] == f"Weighhouse {name}"
