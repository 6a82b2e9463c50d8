"""Statements, commitments and Merkle trees: the same as independent implementations say."""

from uuid import UUID

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from weighhouse.core import commitments, statements
from weighhouse.core.canonical import JsonError
from weighhouse.core.commitments import CommitmentError, salt_make, salted_hash
from weighhouse.core.merkle import MerkleError, MerkleTree, leaf_hash, proof_root
from weighhouse.core.signatures import SignatureError, checksum, key_address, recover, sign

from tests.contracts_model.test_flows_anchor import root_and_proof
from tests.sdk import support

MESSAGES = {
    "Receipt": (statements.RECEIPT, support.RECEIPT),
    "Acceptance": (statements.ACCEPTANCE, support.ACCEPTANCE),
    "Delegation": (statements.DELEGATION, support.DELEGATION),
    "Revocation": (statements.REVOCATION, {"operatorId": 1, "workerKey": support.ANCHOR, "revokedAt": 5}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_digest_and_signature_are_those_of_another_implementation(name):
    members, message = MESSAGES[name]
    typed = statements.typed(support.DOMAIN, name, members, message)
    full = typed.json()
    signable = encode_typed_data(full_message=full)
    assert typed.digest() == keccak(b"\x19" + signable.version + signable.header + signable.body)
    theirs = Account.from_key(support.WORKER_KEY).sign_typed_data(full_message=full)
    assert sign(typed.digest(), support.WORKER_KEY) == "0x" + theirs.signature.hex()
    assert recover(typed.digest(), "0x" + theirs.signature.hex()) == Account.from_key(support.WORKER_KEY).address


def test_domain_is_not_that_of_requests_to_the_market():
    assert support.DOMAIN.name != "Weighhouse"


def test_job_word_holds_the_whole_id():
    assert statements.job_word(UUID("7a1e0c55-1111-4222-8333-444455556666")).endswith(
        "7a1e0c55111142228333444455556666"
    )


@pytest.mark.parametrize("number", range(1, 20))
def test_address_of_a_key_has_its_checksum(number):
    key = bytes([number]) * 32
    assert key_address(key) == Account.from_key(key).address
    assert checksum(bytes([number]) * 20) == to_checksum_address(bytes([number]) * 20)


@pytest.mark.parametrize("signature", ["", "0x", "0x" + "00" * 65, "0x" + "00" * 64 + "1b", "0x" + "ff" * 65, None])
def test_signature_of_nobody_is_refused(signature):
    with pytest.raises(SignatureError):
        recover(b"\x01" * 32, signature)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17, 100])
def test_tree_is_that_of_the_contracts_tests(count):
    digests = [keccak(text=f"receipt {number}") for number in range(count)]
    tree = MerkleTree.of(digests)
    for index, digest in enumerate(digests):
        root, proof = root_and_proof(digests, index)
        assert (tree.root, tree.proof(index)) == (root, proof)
        assert proof_root(digest, proof) == root
        assert leaf_hash(digest) == keccak(keccak(encode(["bytes32"], [digest])))
        assert proof_root(keccak(digest), proof) != root


def test_tree_of_nothing_and_place_outside_are_refused():
    for digests in ([], [b"short"]):
        with pytest.raises(MerkleError):
            MerkleTree.of(digests)
    for index in (-1, 1):
        with pytest.raises(MerkleError):
            MerkleTree.of([b"\x01" * 32]).proof(index)


def test_commitment_depends_on_salt_and_value_and_not_on_the_order_of_names():
    salt = salt_make()
    one = salted_hash(salt, {"a": 1, "b": [0.5, "x"]})
    assert (
        one
        == salted_hash(salt, {"b": [0.5, "x"], "a": 1})
        == "0x" + keccak(salt + keccak(b'{"a":1,"b":[0.5,"x"]}')).hex()
    )
    assert one != salted_hash(salt_make(), {"a": 1, "b": [0.5, "x"]})
    assert one != salted_hash(salt, {"a": 1, "b": [0.5, "y"]})
    assert commitments.input_value(["x"], {"seed": 1}) == {"inputs": ["x"], "parameters": {"seed": 1}}


def test_commitment_without_a_whole_salt_or_of_a_value_without_one_form_is_refused():
    with pytest.raises(CommitmentError):
        salted_hash(b"short", 1)
    for value in (float("nan"), 2**60, "\ud800"):
        with pytest.raises(JsonError):
            salted_hash(salt_make(), value)
