"""An independent model of ModelRegistry: owners, releases and lineage."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.contracts_model.refusals import Reasons

MOST_ANCESTORS = 8
MOST_ANCESTOR_BPS = 5_000
MOST_DERIVATIVE_BPS = 5_000


@dataclass
class Model:
    owner: str
    derivative_bps: int
    # What the model's income pays, in the order in which the shares are taken.
    ancestors: tuple[tuple[int, int], ...]
    releases: int = 1


class RegistryModel:
    """Models by id, counted from 1."""

    def __init__(self) -> None:
        self.models: dict[int, Model] = {}

    def publish(self, *, by: str, parents: Sequence[tuple[int, int]] = (), derivative_bps: int = 0) -> int:
        """`parents` are `(model id, bps)`."""
        reasons = Reasons()
        reasons.when(derivative_bps > MOST_DERIVATIVE_BPS, "DerivativeBpsTooLarge")
        known = [(parent, bps) for parent, bps in parents if parent in self.models]
        reasons.when(len(known) < len(parents), "ModelUnknown")
        for parent, bps in known:
            reasons.when(bps < self.models[parent].derivative_bps, "ParentShareTooSmall")
        ancestors = self.lineage(known)
        reasons.when(len(ancestors) > MOST_ANCESTORS, "TooManyAncestors")
        reasons.when(sum(bps for _, bps in ancestors) > MOST_ANCESTOR_BPS, "AncestorSharesTooLarge")
        reasons.refuse()
        model_id = len(self.models) + 1
        self.models[model_id] = Model(by, derivative_bps, tuple(ancestors))
        return model_id

    def lineage(self, parents: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Each parent and all that it pays: the largest share of each, in the order in which they are first met."""
        shares: dict[int, int] = {}
        for parent, bps in parents:
            for model_id, part in ((parent, bps), *self.models[parent].ancestors):
                if part:
                    shares[model_id] = max(part, shares.get(model_id, 0))
        return list(shares.items())

    def release(self, model_id: int, *, by: str) -> None:
        self._owner_require(model_id, by)
        self.models[model_id].releases += 1

    def set_derivative_bps(self, model_id: int, bps: int, *, by: str) -> None:
        reasons = Reasons()
        reasons.when(bps > MOST_DERIVATIVE_BPS, "DerivativeBpsTooLarge")
        reasons.when(self._owner(model_id) != by, "NotModelOwner")
        reasons.refuse()
        self.models[model_id].derivative_bps = bps

    def transfer(self, model_id: int, to: str, *, by: str) -> None:
        reasons = Reasons()
        reasons.when(model_id not in self.models, "TokenDoesNotExist")
        reasons.when(model_id in self.models and self.models[model_id].owner != by, "NotOwnerNorApproved")
        reasons.refuse()
        self.models[model_id].owner = to

    def _owner(self, model_id: int) -> str | None:
        model = self.models.get(model_id)
        return model.owner if model else None

    def _owner_require(self, model_id: int, by: str) -> None:
        reasons = Reasons()
        reasons.when(self._owner(model_id) != by, "NotModelOwner")
        reasons.refuse()
