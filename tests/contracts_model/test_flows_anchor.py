"""Anchored receipts: a Merkle tree built here, by the rule of the interface, is what the contract verifies."""

from collections.abc import Sequence

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.bindings import receipt_anchor
from tests.contracts_model.conftest import Cast
from tests.contracts_model.twin import Twin

CID = b"\x0c" * 32


def leaf(receipt: bytes) -> bytes:
    return keccak(keccak(encode(["bytes32"], [receipt])))


def parent(left: bytes, right: bytes) -> bytes:
    return keccak(min(left, right) + max(left, right))


def root_and_proof(receipts: Sequence[bytes], index: int) -> tuple[bytes, list[bytes]]:
    """Pairs from left to right; one that is left over goes up as it is."""
    level, proof = [leaf(receipt) for receipt in receipts], []
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            proof.append(level[beside])
        pairs = [level[n : n + 2] for n in range(0, len(level), 2)]
        level = [parent(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        index //= 2
    return level[0], proof


def receipts(count: int) -> list[bytes]:
    return [keccak(text=f"receipt {number}") for number in range(count)]


@pytest.fixture(params=[1, 2, 5, 8])
def batch(request: pytest.FixtureRequest) -> list[bytes]:
    return receipts(request.param)


def test_anchor_proves_every_receipt_of_its_batch_and_no_other(
    twin: Twin, cast: Cast, operator_id: int, batch: list[bytes]
) -> None:
    contract = receipt_anchor()
    root, _ = root_and_proof(batch, 0)
    anchored = contract.anchor(operator_id, root, len(batch), CID)
    assert twin.chain.send(anchored, by=cast.key, at=twin.model.now + 5).error is None
    found = contract.anchored(operator_id, root).read()
    assert (found.anchored_at, found.count) == (twin.model.now + 5, len(batch))
    for index, receipt in enumerate(batch):
        _, proof = root_and_proof(batch, index)
        assert contract.verify(operator_id, root, receipt, proof).read()
        assert not contract.verify(operator_id, root, keccak(receipt), proof).read()
        assert not contract.verify(operator_id + 1, root, receipt, proof).read()
        assert not contract.verify(operator_id, keccak(root), receipt, proof).read()


def test_anchor_takes_no_inner_node_for_a_receipt(twin: Twin, cast: Cast, operator_id: int) -> None:
    batch = receipts(4)
    root, _ = root_and_proof(batch, 0)
    contract = receipt_anchor()
    twin.chain.send(contract.anchor(operator_id, root, 4, CID), by=cast.key, at=twin.model.now + 1)
    left = parent(leaf(batch[0]), leaf(batch[1]))
    right = parent(leaf(batch[2]), leaf(batch[3]))
    assert not contract.verify(operator_id, root, left, [right]).read()


@pytest.mark.parametrize("who", ["operator", "payee", "outsider", "admin"])
def test_anchor_by_another_than_the_key_is_refused(twin: Twin, cast: Cast, operator_id: int, who: str) -> None:
    anchored = receipt_anchor().anchor(operator_id, CID, 1, CID)
    twin.refused(anchored, "NotOperatorKey", by=getattr(cast, who))


def test_anchor_follows_the_operators_key_and_stops_when_it_is_disabled(
    twin: Twin, cast: Cast, operator_id: int
) -> None:
    anchored = receipt_anchor().anchor(operator_id, CID, 1, CID)
    twin.role("set_operator", operator_id, cast.friend, cast.payee, by=cast.operator)
    twin.refused(anchored, "NotOperatorKey", by=cast.key)
    twin.role("disable_operator", operator_id, by=cast.guardian)
    twin.refused(anchored, "NotOperatorKey", by=cast.friend)
