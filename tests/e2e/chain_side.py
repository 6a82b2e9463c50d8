"""The chain behind a site, moved and changed past its pages: what time, admins and other people do meanwhile."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain import abi
from tests.fixtures.processes import ROOT, Anvil

DAY = 86_400
# For so long the site may take the block before for the newest: its setting of this name.
HEAD_MAX_AGE_S = 0.25
RUN = 1
# Has neither EIP-2612 nor EIP-3009, returns nothing, and changes an allowance from and to nothing only.
PLAIN_TOKEN = """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
contract PlainToken {
    string public constant name = "Plain";
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    constructor(address holder) { balanceOf[holder] = 1e12; }
    function approve(address spender, uint256 amount) external {
        require(amount == 0 || allowance[msg.sender][spender] == 0);
        allowance[msg.sender][spender] = amount;
    }
    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
"""


@dataclass
class ChainSide:
    """`book` has the contracts' addresses by name. Every `by` is the place of one of the node's accounts."""

    node: Anvil
    book: dict[str, str]

    @property
    def now(self) -> int:
        return int(self.node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def warp(self, seconds: int) -> None:
        """A block, `seconds` later."""
        self.node.rpc("evm_increaseTime", seconds)
        self.node.rpc("evm_mine")
        time.sleep(HEAD_MAX_AGE_S)

    def next_block_at(self, timestamp: int) -> None:
        """Let the next transaction be mined at this time. It has some seconds: the node also mines every few."""
        before = self.node.rpc("eth_blockNumber")
        self.node.spawned.wait_until(lambda: self.node.rpc("eth_blockNumber") != before, what="mining by itself")
        self.node.rpc("anvil_setNextBlockTimestamp", hex(timestamp))

    def send(self, contract: str, function: str, args: Sequence[Any], *, by: int) -> dict[str, Any]:
        """Send to one of the site's contracts and return the receipt. Fails where the contract refuses."""
        data = abi.call_encode(contract, function, list(args))
        return self.transact({"to": self.book[contract], "data": data}, by=by)

    def transact(self, transaction: dict[str, str], *, by: int) -> dict[str, Any]:
        # What it costs depends on the block's time, which an estimate does not know.
        sent = {"from": self.node.accounts[by], "gas": hex(5_000_000), **transaction}
        tx_hash = self.node.rpc("eth_sendTransaction", sent)
        self.node.spawned.wait_until(lambda: self.node.rpc("eth_getTransactionReceipt", tx_hash), what="in a block")
        receipt = self.node.rpc("eth_getTransactionReceipt", tx_hash)
        assert receipt["status"] == "0x1", receipt
        time.sleep(HEAD_MAX_AGE_S)
        return dict(receipt)

    def read(self, contract: str, function: str, args: Sequence[Any] = ()) -> Any:
        call = {"to": self.book[contract], "data": abi.call_encode(contract, function, list(args))}
        answer = bytes.fromhex(self.node.rpc("eth_call", call, "latest")[2:])
        values = abi.result_decode(contract, function, answer)
        return values[0] if len(values) == 1 else values

    def usd_of(self, place: int) -> int:
        return int(self.read("TestUSD", "balanceOf", [self.node.accounts[place]]))

    def add_plan(self, model_id: int, *, by: int, **terms: Any) -> int:
        """The id of a new plan in TestUSD: 1 unit at once, perpetual, RUN, unless told otherwise."""
        plan = {
            "modelId": model_id,
            "token": self.book["TestUSD"],
            "price": 1_000_000,
            "period": 0,
            "vesting": 0,
            "calls": 0,
            "supply": 100,
            "feeBps": self.read("LicenceMarket", "feeBps"),
            "operatorId": 0,
            "serviceBps": 0,
            "entryBps": 0,
            "flags": RUN,
        }
        self.send("LicenceMarket", "addPlan", [plan | terms], by=by)
        return model_id << 32 | int(self.read("LicenceMarket", "planCount", [model_id]))

    def plain_token(self, *, holder: int) -> str:
        """The address of a new token without permits, allowed by the market's admin, all of it `holder`'s."""
        source = {
            "language": "Solidity",
            "sources": {"PlainToken.sol": {"content": PLAIN_TOKEN}},
            "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}, "evmVersion": "cancun"},
        }
        done = subprocess.run(
            [str(ROOT / "tools" / "solc"), "--standard-json"],
            input=json.dumps(source),
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        code = json.loads(done.stdout)["contracts"]["PlainToken.sol"]["PlainToken"]["evm"]["bytecode"]["object"]
        argument = self.node.accounts[holder].removeprefix("0x").lower().rjust(64, "0")
        token = str(self.transact({"data": f"0x{code}{argument}"}, by=0)["contractAddress"])
        self.send("LicenceMarket", "setTokenAllowed", [token, True], by=0)
        return token
