"""The Merkle tree of a batch of receipts, as `ReceiptAnchor` verifies it. Pure.

A leaf is the receipt's digest hashed twice, so that no inner node can pass for one. The two halves of a pair are sorted
before they are hashed, so that a proof needs no directions. Pairs go from left to right; one that is left over goes up
as it is. Source: `chain/contracts/src/ReceiptAnchor.sol`, OpenZeppelin's `MerkleProof`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from weighhouse.core.eip712 import keccak256
from weighhouse.core.errors import WeighhouseError

# Far more than any tree has: a proof of 64 steps would be of a batch of 2^64.
MAX_PROOF = 64


class MerkleError(WeighhouseError):
    """A tree of nothing, or of something that is not 32 bytes."""

    code = "merkle.invalid"


@dataclass(frozen=True, slots=True)
class MerkleTree:
    """All levels, leaves first, root last."""

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, digests: Sequence[bytes]) -> Self:
        """The tree over receipts' digests, 32 bytes each, in this order. Raises MerkleError."""
        if not digests or any(len(digest) != 32 for digest in digests):
            raise MerkleError("A Merkle tree needs at least one digest, and each has 32 bytes.")
        level = tuple(leaf_hash(digest) for digest in digests)
        levels = [level]
        while len(level) > 1:
            pairs = [level[place : place + 2] for place in range(0, len(level), 2)]
            level = tuple(_parent(*pair) if len(pair) == 2 else pair[0] for pair in pairs)
            levels.append(level)
        return cls(tuple(levels))

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def proof(self, index: int) -> list[bytes]:
        """What leads from the leaf at `index` to the root. Raises MerkleError for an index that is not there."""
        if not 0 <= index < len(self.levels[0]):
            raise MerkleError(f"The tree has {len(self.levels[0])} leaves and none at {index}.")
        beside = []
        for level in self.levels[:-1]:
            if index ^ 1 < len(level):
                beside.append(level[index ^ 1])
            index //= 2
        return beside


def leaf_hash(digest: bytes) -> bytes:
    """The leaf of a receipt with this EIP-712 digest."""
    return keccak256(keccak256(digest))


def proof_root(digest: bytes, proof: Sequence[bytes]) -> bytes:
    """The root to which `proof` leads from a receipt's digest."""
    node = leaf_hash(digest)
    for beside in proof:
        node = _parent(node, beside)
    return node


def _parent(left: bytes, right: bytes) -> bytes:
    return keccak256(min(left, right) + max(left, right))
