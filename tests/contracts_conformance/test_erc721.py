"""Both tokens before an ERC-721 validator that others wrote: @nibbstack/erc721-validator, by the authors of the EIP's
reference implementation. It sees an address on a chain, nothing else."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chain.transactions import receipt_wait
from tests.fixtures.contracts import RUN, TRANSFERABLE, Market
from tools import contracts

RUNNER = Path(__file__).with_name("erc721.mjs")
VALIDATOR = contracts.REPOSITORY / "node_modules" / "@nibbstack" / "erc721-validator"
MILLION_COINS_WEI = 10**24

# What each case tries, in the validator's order, and whether it must go through. Neither token is enumerable, which the
# EIP leaves open, so that these cases must fail.
BASIC = {
    "the address has code": True,
    "it is ERC-165": True,
    "it is ERC-721": True,
    "it has metadata": True,
    "it is enumerable": False,
    "balanceOf of address 0": False,
    "name": True,
    "symbol": True,
    "totalSupply": False,
    "tokenByIndex": False,
}
TOKEN = {"tokenURI": True, "the owner's balance is not 0": True, "the owner is not address 0": True}
TRANSFER = {
    "transfer of another's token": False,
    "a transfer moves the balance": True,
    "transfer to address 0": False,
    "a safe transfer passes data": True,
    "a safe transfer has no data by default": True,
    "safe transfer to a contract without callback": False,
    "safe transfer to one that answers with a wrong value": False,
    "approve is answered by getApproved": True,
    "the approved address transfers": True,
    "setApprovalForAll is answered by isApprovedForAll": True,
    "an operator transfers": True,
    "tokenOfOwnerByIndex": False,
    "tokenOfOwnerByIndex beyond the balance": False,
    "the giver gives": True,
}


@pytest.fixture(scope="module")
def giver_code() -> str:
    """Creation code of the validator's `Giver`, which hands its token to whoever pays a million coins."""
    source = (VALIDATOR / "src" / "contracts" / "validator.sol").read_text(encoding="utf-8")
    answer = contracts.solc_run(
        {
            "language": "Solidity",
            "sources": {"validator.sol": {"content": source}},
            "settings": {"outputSelection": {"validator.sol": {"Giver": ["evm.bytecode.object"]}}},
        }
    )
    return "0x" + str(answer["contracts"]["validator.sol"]["Giver"]["evm"]["bytecode"]["object"])


@pytest.fixture
def giver(market: Market, giver_code: str) -> str:
    tx_hash = market.anvil.rpc("eth_sendTransaction", {"from": market.outsider, "data": giver_code})
    return str(receipt_wait(tx_hash, gateway=market.gateway).contract_address)


def validate(market: Market, contract: str, *, token_id: int, giver: str) -> dict[str, dict[str, bool]]:
    """Which cases go through, under the names above."""
    market.anvil.rpc("anvil_setBalance", market.outsider, hex(2 * MILLION_COINS_WEI))
    node = shutil.which("node")
    assert node
    address = market.book.contract(contract).address
    argv = [node, str(RUNNER), market.anvil.url, address, str(token_id), giver, market.outsider]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return {
        "basic": dict(zip(BASIC, answer["basic"], strict=True)),
        "token": dict(zip(TOKEN, answer["token"], strict=True)),
        "transfer": dict(zip(TRANSFER, answer["transfer"], strict=True)),
    }


def test_model_token_before_the_validator_passes_every_case(market: Market, giver: str) -> None:
    model_id = market.publish()
    market.send("ModelRegistry", "transferFrom", [market.publisher, giver, model_id], by=market.publisher)
    results = validate(market, "ModelRegistry", token_id=model_id, giver=giver)
    assert results == {"basic": BASIC, "token": TOKEN, "transfer": TRANSFER}


def test_licence_token_before_the_validator_passes_every_case(market: Market, giver: str) -> None:
    plan_id = market.add_plan(market.publish(), flags=RUN | TRANSFERABLE)
    licence_id = market.buy(plan_id, recipient=giver)
    results = validate(market, "LicenceMarket", token_id=licence_id, giver=giver)
    assert results == {"basic": BASIC, "token": TOKEN, "transfer": TRANSFER}


def test_bound_licence_before_the_validator_moves_in_no_case(market: Market, giver: str) -> None:
    """The validator sees a token that does not move, and one that is not there: its cases can fail."""
    licence_id = market.buy(market.add_plan(market.publish(), flags=RUN), recipient=giver)
    results = validate(market, "LicenceMarket", token_id=licence_id, giver=giver)
    assert results["token"] == TOKEN
    assert results["transfer"] == dict.fromkeys(TRANSFER, False)

    absent = validate(market, "LicenceMarket", token_id=licence_id + 1, giver=giver)
    assert absent["token"] == dict.fromkeys(TOKEN, False)


def test_contract_that_is_no_nft_before_the_validator_fails(market: Market, giver: str) -> None:
    results = validate(market, "TestUSD", token_id=1, giver=giver)
    assert not results["basic"]["it is ERC-721"]
    assert results["transfer"] == dict.fromkeys(TRANSFER, False)
