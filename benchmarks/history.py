"""A long, mixed history of the contracts on a development chain of its own, for measuring what reads it.

Each round is a model with a metered plan: 50 purchases, reports of use, collections, renewals, transfers, a split and a
withdrawal. Its logs are of fifteen kinds, in the proportions of a site that is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import requests
from eth_utils.crypto import keccak

from chain import abi
from chain.address_book import AddressBook
from chain.bindings.structs import Roles
from chain.demo_market import DemoMarket
from chain.deployment import Deployer
from chain.development import DEVELOPMENT_ACCOUNTS, OPERATOR_KEY
from chain.gateway.protocol import ChainGateway

NATIVE = "0x" + "00" * 20
PRICE = 1_000_000
BATCH = 50
REPORTS = 5
# Mined after so many transactions, as on a busy chain.
TRANSACTIONS_PER_BLOCK = 12
GAS = hex(15_000_000)
FINALITY_BLOCKS = 70
# RUN, TRANSFERABLE, RENEWABLE.
FLAGS = 1 | 4 | 8


@dataclass
class History:
    """Makes rounds until there are enough logs. The node mines only when told to."""

    url: str
    book: AddressBook
    session: requests.Session = field(default_factory=requests.Session)
    logs: int = 0
    models: int = 0

    def grow(self, wanted: int) -> int:
        """Add rounds until `wanted` logs are on the chain, and enough empty blocks to make them final."""
        while self.logs < wanted:
            self._round()
        self._rpc([("anvil_mine", [hex(FINALITY_BLOCKS)])])
        return self.logs

    def publish(self) -> None:
        """One model, in a block of its own on a chain that mines at once."""
        self.models += 1
        digest = "0x" + keccak(text=f"model {self.models}").hex()
        self._send([("ModelRegistry", "publish", [digest, [], 0], DEVELOPMENT_ACCOUNTS[1].address, 0)])

    def _round(self) -> None:
        self.models += 1
        publisher, buyer = (DEVELOPMENT_ACCOUNTS[1 + self.models % 2].address, DEVELOPMENT_ACCOUNTS[3].address)
        plan_id = self.models << 32 | 1
        digest = "0x" + keccak(text=f"model {self.models}").hex()
        terms = {
            "modelId": self.models,
            "token": NATIVE,
            "price": PRICE,
            "period": 30 * 86_400,
            "vesting": 30 * 86_400,
            "calls": 1_000,
            "supply": 10_000,
            "feeBps": self._read("LicenceMarket", "feeBps"),
            "operatorId": 1,
            "serviceBps": 1_000,
            "entryBps": 500,
            "flags": FLAGS,
        }
        self._send([("ModelRegistry", "publish", [digest, [], 0], publisher, 0)])
        self._send([("LicenceMarket", "addPlan", [terms], publisher, 0)])
        plan_hash = self._read("LicenceMarket", "planHash", plan_id)
        licences = [plan_id << 32 | serial for serial in range(1, BATCH + 1)]
        self._send(("LicenceMarket", "buy", [plan_id, plan_hash, buyer], buyer, PRICE) for _ in licences)
        self._send(self._use(licences))
        self._send(self._money(plan_id, plan_hash, licences, publisher=publisher, buyer=buyer))

    def _use(self, licences: Sequence[int]) -> Iterator[tuple[str, str, list[Any], str, int]]:
        for report in range(1, REPORTS + 1):
            used = [100 * report + place for place in range(len(licences))]
            yield "LicenceMarket", "reportUsage", [list(licences), used], OPERATOR_KEY.address, 0
            if report % 2:
                yield "LicenceMarket", "collect", [list(licences)], DEVELOPMENT_ACCOUNTS[0].address, 0

    def _money(
        self, plan_id: int, plan_hash: str, licences: Sequence[int], *, publisher: str, buyer: str
    ) -> Iterator[tuple[str, str, list[Any], str, int]]:
        friend = DEVELOPMENT_ACCOUNTS[4].address
        for licence_id in licences[:5]:
            yield "LicenceMarket", "renew", [licence_id, plan_hash], buyer, PRICE
        for licence_id in licences[5:10]:
            yield "LicenceMarket", "transferFrom", [buyer, friend, licence_id], buyer, 0
        for licence_id in licences[10:13]:
            yield "LicenceMarket", "cancel", [licence_id, buyer], buyer, 0
        yield "LicenceMarket", "split", [plan_id], publisher, 0
        yield "LicenceMarket", "withdraw", [plan_id >> 32, NATIVE, publisher], publisher, 0

    def _send(self, calls: Any) -> None:
        """Send calls as transactions of unlocked accounts and mine them; every one of them has to succeed."""
        batch = [
            (
                "eth_sendTransaction",
                [
                    {
                        "from": sender,
                        "to": self.book.contract(contract).address,
                        "data": abi.call_encode(contract, function, args),
                        "value": hex(value),
                        "gas": GAS,
                    }
                ],
            )
            for contract, function, args, sender, value in calls
        ]
        for start in range(0, len(batch), TRANSACTIONS_PER_BLOCK):
            hashes = self._rpc(batch[start : start + TRANSACTIONS_PER_BLOCK])
            self._rpc([("anvil_mine", ["0x1"])])
            for receipt in self._rpc([("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes]):
                if receipt["status"] != "0x1":
                    raise RuntimeError(f"a transaction of the history failed in block {receipt['blockNumber']}")
                self.logs += len(receipt["logs"])

    def _read(self, contract: str, function: str, *args: Any) -> Any:
        call = {"to": self.book.contract(contract).address, "data": abi.call_encode(contract, function, list(args))}
        (answer,) = self._rpc([("eth_call", [call, "latest"])])
        return abi.result_decode(contract, function, bytes.fromhex(answer[2:]))[0]

    def _rpc(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, (method, params) in enumerate(calls)
        ]
        answers = orjson.loads(self.session.post(self.url, data=orjson.dumps(body), headers=JSON, timeout=120).content)
        failed = [answer["error"] for answer in answers if "error" in answer]
        if failed:
            raise RuntimeError(f"the node refused: {failed[0]}")
        return [answer["result"] for answer in sorted(answers, key=lambda answer: answer["id"])]


JSON = {"Content-Type": "application/json"}


def contracts_deploy(gateway: ChainGateway, directory: Path) -> AddressBook:
    """The contracts and an operator on a fresh development chain that mines at once."""
    admin, key = DEVELOPMENT_ACCOUNTS[0].address, DEVELOPMENT_ACCOUNTS[0].key
    roles = Roles(admin=admin, guardian=admin, pauser=admin, treasury=admin)
    deployer = Deployer(gateway, directory, key=key, roles=roles, development=True, say=_silent)
    book = deployer.contracts_deploy()
    DemoMarket(gateway, book, admin_key=key, say=_silent).operator_register()
    return book


def _silent(_text: str) -> None:
    pass
