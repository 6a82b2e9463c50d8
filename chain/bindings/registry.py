"""`ModelRegistry`, typed. `contracts/src/interfaces/IModelRegistry.sol` says what each function does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chain.bindings.base import View, structs_of
from chain.bindings.structs import Share
from chain.bindings.tokens import Data, NonFungible
from chain.transactions import TransactionRequest


@dataclass(frozen=True, slots=True)
class ModelRegistry(NonFungible):
    artefact: ClassVar[str] = "ModelRegistry"

    def publish(self, digest: Data, parents: Sequence[Share], bps: int) -> TransactionRequest:
        """`bps` is what models that name this one as a parent will owe it."""
        return self._send("publish", digest, parents, bps)

    def release(self, model_id: int, digest: Data) -> TransactionRequest:
        return self._send("release", model_id, digest)

    def set_derivative_bps(self, model_id: int, bps: int) -> TransactionRequest:
        return self._send("setDerivativeBps", model_id, bps)

    def model_count(self) -> View[int]:
        return self._view("modelCount", make=int)

    def latest_digest(self, model_id: int) -> View[str]:
        return self._view("latestDigest", model_id, make=str)

    def release_count(self, model_id: int) -> View[int]:
        return self._view("releaseCount", model_id, make=int)

    def derivative_bps(self, model_id: int) -> View[int]:
        return self._view("derivativeBps", model_id, make=int)

    def ancestors(self, model_id: int) -> View[tuple[Share, ...]]:
        """In the order in which their shares are taken."""
        return self._view("ancestors", model_id, make=structs_of(Share))

    def max_ancestors(self) -> View[int]:
        return self._view("MAX_ANCESTORS", make=int)

    def max_ancestor_bps(self) -> View[int]:
        return self._view("MAX_ANCESTOR_BPS", make=int)

    def max_derivative_bps(self) -> View[int]:
        return self._view("MAX_DERIVATIVE_BPS", make=int)
