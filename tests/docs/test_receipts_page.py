"""The worked example of docs/receipts.md, recomputed from its own keys and values."""

import json
import re
from pathlib import Path

import pytest
from weighhouse.core import canonical
from weighhouse.core.commitments import plain_hash, salted_hash
from weighhouse.core.merkle import leaf_hash, proof_root
from weighhouse.core.signatures import key_address, sign
from weighhouse.core.statements import ACCEPTANCE, DELEGATION, RECEIPT, REVOCATION, Statement
from weighhouse.verify import Expected, verify

from tests.sdk.support import anchored, failed_receipt

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "receipts.md").read_text()


def block(name: str) -> bytes:
    (found,) = re.findall(rf"^```json {name}\n(.+)\n```$", PAGE, re.MULTILINE)
    return found.encode()


@pytest.fixture
def example() -> Statement:
    return Statement.from_bytes(block("receipt"))


def test_example_holds_with_its_opening(example):
    report = verify(block("receipt"), Expected(opening=canonical.loads(block("opening"))))
    assert report.ok, report.text()
    results = {check.name: check.result.value for check in report.checks}
    assert {results[name] for name in ("input", "output", "inclusion", "signature", "delegation")} == {"ok"}


def test_example_is_signed_by_the_keys_that_the_page_names(example):
    worker, operator = b"\x22" * 32, b"\x11" * 32
    assert f"`{key_address(worker)}` (the private key 0x22 32 times)" in PAGE
    assert f"`{key_address(operator)}` (0x11 32 times)" in PAGE
    assert sign(example.typed.digest(), worker) == example.signed.signature
    assert sign(example.delegation_typed.digest(), operator) == example.delegation.signature


def test_example_has_the_hashes_that_the_page_tells(example):
    opening = json.loads(block("opening"))
    for name in ("input", "output"):
        part = opening[name]
        assert salted_hash(bytes.fromhex(part["salt"][2:]), part["value"]) == example.signed.message[f"{name}Hash"]
    assert "0x" + plain_hash(dict(example.fingerprint)).hex() == example.signed.message["fingerprintHash"]
    digest = example.typed.digest()
    root = proof_root(digest, [bytes.fromhex(word[2:]) for word in example.anchoring.proof])
    told = (example.delegation_typed.digest(), digest, leaf_hash(digest), root)
    assert [f"`0x{value.hex()}`" in PAGE for value in told] == [True] * 4


def test_page_names_every_member_and_every_check():
    for members in (ACCEPTANCE, RECEIPT, DELEGATION, REVOCATION):
        assert [name for name, _ in members if f"`{name}`" not in PAGE] == []
    checks = {check.name for check in verify(anchored(failed_receipt()).to_bytes()).checks}
    onchain = (Path(__file__).resolve().parents[2] / "sdk/weighhouse/verify/onchain.py").read_text()
    checks |= set(re.findall(r'report\.add\(\s*"([a-z ]+)"', onchain))
    assert {"anchored", "operator", "form"} <= checks
    assert [name for name in checks if f"`{name}`" not in PAGE] == []
