"""A development chain with the contracts on it, in which every transaction costs the same on every machine.

Accounts, signatures and block times are fixed, so that nothing but the contracts decides what a receipt says.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from chain import abi
from chain.gateway.revert_read import revert_read
from tools.demo import binaries, ports

START = 1_800_000_000
BLOCK_S = 12
# Of what is signed: not before any block of a measurement.
DEADLINE = START + 2**28
NATIVE = "0x" + "00" * 20
RUN, DOWNLOAD, TRANSFERABLE, RENEWABLE = 1, 2, 4, 8
DAY_S = 86_400
PRICE = 30_000_000
COIN_PRICE = 3 * 10**17
FEE_BPS = 250
UNLIMITED = 2**256 - 1

_SIGNED = {
    "Permit": "address owner,address spender,uint256 value,uint256 nonce,uint256 deadline",
    "ReceiveWithAuthorization": (
        "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
    ),
    "Deliver": "uint256 licenceId,bytes32 recipientKey,uint256 deadline",
}
_DOMAIN = "string name,string version,uint256 chainId,address verifyingContract"


class GasError(Exception):
    """What was to be measured did not happen; the message says what and why."""


class Chain:
    """An anvil whose accounts are unlocked, and the addresses of what was deployed there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.block_time = START
        self.addresses: dict[str, str] = {}
        self.accounts: list[str] = self.rpc("eth_accounts")

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.session.post(self.url, json=body, timeout=60).json()
        if "error" in answer:
            raise GasError(f"{method}: {_reason(answer['error'])}")
        return answer["result"]

    def transact(self, transaction: dict[str, Any]) -> dict[str, Any]:
        """Mine one transaction in a block of its own; its receipt."""
        self.block_time += BLOCK_S
        self.rpc("evm_setNextBlockTimestamp", self.block_time)
        tx_hash = self.rpc("eth_sendTransaction", {"gas": hex(25_000_000), **transaction})
        receipt = self._receipt(tx_hash)
        if receipt["status"] != "0x1":
            self.rpc("eth_call", transaction, "latest")  # raises with the reason, if the newest state has it still
            raise GasError(f"the transaction to {transaction.get('to')} failed without a reason")
        return receipt

    def _receipt(self, tx_hash: str) -> dict[str, Any]:
        """The node mines at once, in a thread of its own."""
        for _ in range(2000):
            receipt: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", tx_hash)
            if receipt is not None:
                return receipt
            time.sleep(0.005)
        raise GasError(f"transaction {tx_hash} was not mined in 10 s")

    def deploy(self, name: str, *arguments: Any) -> int:
        """Deploy the committed bytecode from the first account. The gas that it took."""
        artefact = abi.artefact(name)
        data = artefact.bytecode + abi.arguments_encode(artefact.constructor, arguments).hex()
        receipt = self.transact({"from": self.accounts[0], "data": data})
        self.addresses[name] = receipt["contractAddress"]
        return int(receipt["gasUsed"], 16)

    def send(self, by: str, target: str, *arguments: Any, value: int = 0) -> int:
        """Call `target`, a contract's and a function's name with a dot between. The gas that it took."""
        contract, function = target.split(".")
        data = abi.call_encode(contract, function, arguments)
        receipt = self.transact({"from": by, "to": self.addresses[contract], "data": data, "value": hex(value)})
        return int(receipt["gasUsed"], 16)

    def read(self, target: str, *arguments: Any) -> Any:
        contract, function = target.split(".")
        call = {"to": self.addresses[contract], "data": abi.call_encode(contract, function, arguments)}
        values = abi.result_decode(contract, function, bytes.fromhex(self.rpc("eth_call", call, "latest")[2:]))
        return values[0] if len(values) == 1 else values

    def skip(self, seconds: int) -> None:
        """Let time pass before the next block."""
        self.block_time += seconds

    def sign(self, signer: str, kind: str, message: dict[str, Any], *, contract: str, name: str) -> str:
        """An EIP-712 signature (version "1") by an account of the node, as 65 bytes of hex."""
        domain = {"name": name, "version": "1", "chainId": 31337, "verifyingContract": self.addresses[contract]}
        types = {"EIP712Domain": _fields(_DOMAIN), kind: _fields(_SIGNED[kind])}
        # As decimal strings: ids exceed what the node's JSON takes as a number.
        words = {name: str(value) if isinstance(value, int) else value for name, value in message.items()}
        document = {"types": types, "primaryType": kind, "domain": domain, "message": words}
        signature: str = self.rpc("eth_signTypedData_v4", signer, document)
        return signature

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside leaves no trace."""
        snapshot = self.rpc("evm_snapshot")
        yield
        self.rpc("evm_revert", snapshot)


class Scene:
    """The contracts in use: a model with plans that have sold before, an operator, and people with money."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.admin, self.guardian, self.treasury, self.publisher, self.other = chain.accounts[:5]
        self.operator_key, self.payee, self.regular, self.buyer, self.outsider = chain.accounts[5:10]
        self.deployed = self._deploy()
        self._fund()
        self.model = self.publish(self.other)
        self.model = self.publish(self.publisher)
        chain.send(self.other, "LicenceMarket.registerOperator", self.operator_key, self.payee)

    def _deploy(self) -> dict[str, int]:
        gas = {name: self.chain.deploy(name) for name in ("ModelRegistry", "TestUSD")}
        roles = [self.admin, self.guardian, self.guardian, self.treasury]
        gas["LicenceMarket"] = self.chain.deploy("LicenceMarket", self.chain.addresses["ModelRegistry"], roles)
        gas["ReceiptAnchor"] = self.chain.deploy("ReceiptAnchor", self.chain.addresses["LicenceMarket"])
        return gas

    def _fund(self) -> None:
        usd, market = self.chain.addresses["TestUSD"], self.chain.addresses["LicenceMarket"]
        self.chain.send(self.admin, "LicenceMarket.setTokenAllowed", usd, True)
        self.chain.send(self.admin, "LicenceMarket.setFeeBps", FEE_BPS)
        for account in self.chain.accounts:
            self.chain.send(account, "TestUSD.mint", account, 10**15)
        for account in (self.regular, self.buyer):
            self.chain.send(account, "TestUSD.approve", market, UNLIMITED)

    def publish(self, by: str, parents: list[tuple[int, int]] | None = None) -> int:
        self.chain.send(by, "ModelRegistry.publish", b"\x11" * 32, [list(pair) for pair in parents or []], 0)
        return int(self.chain.read("ModelRegistry.modelCount"))

    def terms(self, **changes: Any) -> dict[str, Any]:
        """30 days in TestUSD that vest over time, with an operator and an entry share."""
        plan = {
            "modelId": self.model,
            "token": self.chain.addresses["TestUSD"],
            "price": PRICE,
            "period": 30 * DAY_S,
            "vesting": 30 * DAY_S,
            "calls": 0,
            "supply": 1000,
            "feeBps": FEE_BPS,
            "operatorId": 1,
            "serviceBps": 1000,
            "entryBps": 500,
            "flags": RUN | TRANSFERABLE | RENEWABLE,
        }
        return plan | changes

    def plan(self, *, sold: bool = True, **changes: Any) -> int:
        """A new plan. Without `sold=False` somebody bought one already, which writes its rows for the first time."""
        terms = self.terms(**changes)
        self.chain.send(self.publisher, "LicenceMarket.addPlan", terms)
        plan_id = terms["modelId"] << 32 | int(self.chain.read("LicenceMarket.planCount", terms["modelId"]))
        if sold:
            self.buy(plan_id, self.regular)
        return plan_id

    def buy(self, plan_id: int, by: str) -> int:
        """The gas of a purchase for oneself."""
        terms, _ = self.chain.read("LicenceMarket.plan", plan_id)
        value = terms["price"] if terms["token"] == NATIVE else 0
        return self.chain.send(by, "LicenceMarket.buy", plan_id, self.agreed(plan_id), by, value=value)

    def licence(self, plan_id: int, by: str) -> int:
        """Buy one; its id."""
        self.buy(plan_id, by)
        return plan_id << 32 | int(self.chain.read("LicenceMarket.plan", plan_id)[1]["sold"])

    def agreed(self, plan_id: int) -> str:
        return str(self.chain.read("LicenceMarket.planHash", plan_id))

    def share_out(self, plan_id: int) -> int:
        """Collect the plan's first licence, and the gas of the split."""
        self.chain.send(self.outsider, "LicenceMarket.collect", [plan_id << 32 | 1])
        return self.chain.send(self.outsider, "LicenceMarket.split", plan_id)


@contextmanager
def scene_open(*, evm_version: str) -> Iterator[Scene]:
    """Start a chain with the rules of `evm_version` on a free port, set the scene, and end it."""
    port = ports.free_port()
    argv = [binaries.anvil(), "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337"]
    argv += ["--hardfork", evm_version, "--timestamp", str(START), "--silent"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        chain = Chain(f"http://127.0.0.1:{port}")
        with chain.session:
            yield Scene(chain)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Until that very process listens."""
    for _ in range(600):
        if ports.listens(process.pid, port):
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise GasError(f"anvil did not start on port {port}")


def _fields(declared: str) -> list[dict[str, str]]:
    parts = [part.split(" ") for part in declared.split(",")]
    return [{"name": name, "type": kind} for kind, name in parts]


def _reason(error: dict[str, Any]) -> str:
    data = error.get("data")
    if isinstance(data, str) and len(data) >= 10:
        refusal = revert_read(bytes.fromhex(data[2:]))
        return f"{type(refusal).__name__}: {refusal}"
    return str(error.get("message"))
