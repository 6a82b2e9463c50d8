"""The contracts on anvil, through the bindings: transactions at a chosen second, their events, and batches of views."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain import abi
from chain.gateway.errors import Reverted
from chain.transactions import TransactionRequest
from tests.fixtures.contracts import Market

GAS = hex(6_000_000)
# The standards' own events. The tokens' owners are compared as state.
NOT_COMPARED = {"Transfer", "Approval", "ApprovalForAll", "MetadataUpdate", "AuthorizationUsed"}


@dataclass(frozen=True)
class Outcome:
    """What a transaction did: either the names and arguments of its events, or the error."""

    error: str | None
    events: tuple[tuple[str, dict[str, Any]], ...]
    gas_cost_wei: int


class ChainSide:
    """One chain on which every transaction is a block of its own, at the time that the test says."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.names = {entry.address.lower(): name for name, entry in market.book.contracts.items()}

    def now(self) -> int:
        """Time of the newest block."""
        return int(self.market.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def send(self, request: TransactionRequest, *, by: str, at: int) -> Outcome:
        """Mine the transaction in a block at time `at`. One that fails is mined as well, and then tells why."""
        rpc = self.market.anvil.rpc
        transaction = {"from": by, "gas": GAS, **request.wallet_params()}
        rpc("evm_setNextBlockTimestamp", at)
        receipt = self.receipt(rpc("eth_sendTransaction", transaction))
        assert self.now() == at
        cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        if int(receipt["status"], 16):
            return Outcome(None, tuple(self._events(receipt)), cost)
        return Outcome(self._error(transaction), (), cost)

    def receipt(self, tx_hash: str) -> dict[str, Any]:
        """The node mines each transaction at once, but answers before it has."""
        deadline = time.monotonic() + 10
        while (receipt := self.market.anvil.rpc("eth_getTransactionReceipt", tx_hash)) is None:
            assert time.monotonic() < deadline, f"{tx_hash} is in no block"
            time.sleep(0.001)
        return dict(receipt)

    def wait(self, at: int) -> None:
        """Mine an empty block at time `at`."""
        self.market.anvil.rpc("evm_setNextBlockTimestamp", at)
        self.market.anvil.rpc("evm_mine")

    def _error(self, transaction: dict[str, Any]) -> str:
        # On top of the block in which it failed, which has its time and changed nothing else that matters here.
        try:
            self.market.gateway.request("eth_call", [transaction, "latest"])
        except Reverted as error:
            return error.error
        raise AssertionError("A transaction failed that succeeds when it is repeated.")

    def _events(self, receipt: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        decoded = [
            abi.event_decode(self.names[log["address"]], tuple(log["topics"]), log["data"]) for log in receipt["logs"]
        ]
        return [(name, args) for name, args in decoded if name not in NOT_COMPARED]

    def balances_wei(self, accounts: Sequence[str]) -> list[int]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": [account, "latest"]}
            for number, account in enumerate(accounts)
        ]
        answers = self.market.anvil.session.post(self.market.anvil.url, json=body, timeout=30).json()
        by_id = {answer["id"]: int(answer["result"], 16) for answer in answers}
        return [by_id[number] for number in range(len(accounts))]
