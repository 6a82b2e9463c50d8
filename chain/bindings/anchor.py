"""`ReceiptAnchor`, typed. `contracts/src/interfaces/IReceiptAnchor.sol` says what each function does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chain.bindings.base import Contract, View
from chain.bindings.tokens import Data
from chain.transactions import TransactionRequest


@dataclass(frozen=True, slots=True)
class Anchored:
    """When a batch was anchored, in unix seconds of block time, and how many receipts it holds; 0 where it was not."""

    anchored_at: int
    count: int


@dataclass(frozen=True, slots=True)
class ReceiptAnchor(Contract):
    artefact: ClassVar[str] = "ReceiptAnchor"

    def anchor(self, operator_id: int, root: Data, count: int, cid: Data) -> TransactionRequest:
        return self._send("anchor", operator_id, root, count, cid)

    def verify(self, operator_id: int, root: Data, receipt_hash: Data, proof: Sequence[Data]) -> View[bool]:
        return self._view("verify", operator_id, root, receipt_hash, proof, make=bool)

    def anchored(self, operator_id: int, root: Data) -> View[Anchored]:
        return self._view("anchored", operator_id, root, make=Anchored)

    def market(self) -> View[str]:
        return self._view("market", make=str)
