"""The outbox on a real chain: TestUSD is minted, because every mint that is sent twice shows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chain.bindings import usd_token
from chain.demo_market import DEMO_FUNDS_UNITS
from chain.development import OPERATOR_KEY
from chain.gateway import get_gateway
from chain.models import OutboxAttempt, OutboxTransaction
from chain.outbox import run
from chain.outbox.limits import Limits
from chain.outbox.sender import Sender
from chain.outbox.services import transaction_enqueue
from chain.signing.local import LocalSigner
from chain.signing.protocol import Signer
from chain.transactions import TransactionRequest
from tests.fixtures.contracts import Market

BASE_FEE_WEI = 10**9
ZERO_TOPIC = "0x" + "00" * 32


def send_once(sender: Sender) -> int:
    """`run.send_once`, and again while a node that mines by itself has not come round to what was sent."""
    changes = run.send_once(sender)
    for _ in range(100):
        waiting = sender.gateway.request("txpool_status", [])["pending"] != "0x0"
        if waiting and sender.gateway.request("anvil_getAutomine", []):
            time.sleep(0.02)
        more = run.send_once(sender)
        changes += more
        if not (waiting and sender.gateway.request("anvil_getAutomine", [])) and not more:
            break
    return changes


@dataclass
class Outbox:
    """The sender of the operator's account, and what the chain says of its work."""

    market: Market
    address: str = OPERATOR_KEY.address

    def sender(self, *, signer: Signer | None = None, **limits: object) -> Sender:
        return Sender(gateway=get_gateway(), signer=signer or LocalSigner(OPERATOR_KEY.key), limits=Limits(**limits))

    def work(self, **limits: object) -> int:
        """A sender of its own does what there is to do for now."""
        sender = self.sender(**limits)
        try:
            return send_once(sender)
        finally:
            sender.close()

    def mint(self, units: int) -> OutboxTransaction:
        """Enqueue a mint to the outsider that no other mint of the test equals."""
        request = usd_token().mint(self.market.outsider, units)
        return transaction_enqueue(purpose="test.mint", request=request, dedupe_key=f"mint:{units}")

    def pay(self, wei: int) -> OutboxTransaction:
        """Enqueue a transfer of the chain's coin to the buyer."""
        request = TransactionRequest(self.market.book.chain_id, self.market.buyer, "0x", wei)
        return transaction_enqueue(purpose="test.pay", request=request, dedupe_key=f"pay:{wei}")

    def minted(self) -> list[int]:
        """The units of every mint to the outsider since the contracts were deployed, in the order of the chain."""
        topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
        to = "0x" + self.market.outsider[2:].lower().rjust(64, "0")
        criteria = {"address": self.market.usd, "topics": [topic, ZERO_TOPIC, to], "fromBlock": "0x0"}
        amounts = [int(log["data"], 16) for log in self.market.anvil.rpc("eth_getLogs", criteria)]
        # The contracts were deployed with funds for everybody.
        return [units for units in amounts if units != DEMO_FUNDS_UNITS]

    def rpc(self, method: str, *params: object) -> object:
        return self.market.anvil.rpc(method, *params)

    def nonce(self) -> int:
        return int(self.market.anvil.rpc("eth_getTransactionCount", self.address, "latest"), 16)

    def pool(self) -> dict[int, str]:
        """Nonces and hashes of the operator's transactions that wait in the node."""
        content = self.market.anvil.rpc("txpool_content")
        waiting = [content[part] for part in ("pending", "queued")]
        mine = [rows for part in waiting for who, rows in part.items() if who.lower() == self.address.lower()]
        return {int(nonce): transaction["hash"] for rows in mine for nonce, transaction in rows.items()}

    def attempts(self, row: OutboxTransaction) -> list[OutboxAttempt]:
        return list(row.attempts.order_by("pk"))

    def by_key(self, **fields: object) -> str:
        """Somebody else uses the operator's key: a transfer to the buyer. The hash."""
        transaction = {"from": self.address, "to": self.market.buyer, "value": "0x1", "gas": hex(30_000), **fields}
        tx_hash = str(self.rpc("eth_sendTransaction", transaction))
        return self.market.anvil.mined(tx_hash) if self.rpc("anvil_getAutomine") else tx_hash

    def finalise(self) -> None:
        self.market.mine(70)


@pytest.fixture
def outbox(market: Market) -> Iterator[Outbox]:
    # With the rest of its state the node puts back neither its base fee nor its memory of tips.
    market.mine(12)
    market.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI))
    market.mine()
    yield Outbox(market)
    market.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI))


@pytest.fixture
def by_hand(market: Market) -> Iterator[Callable[[], None]]:
    """Blocks are mined only when the test calls this, or `market.mine`."""
    market.anvil.rpc("evm_setAutomine", False)
    yield market.mine
    market.anvil.rpc("anvil_dropAllTransactions")
    market.anvil.rpc("evm_setAutomine", True)
