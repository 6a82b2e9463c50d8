"""docs/contracts.md names everything that the contracts of ours add to the standards."""

import json
import re

import pytest

from tools import contracts

DOCS = (contracts.REPOSITORY / "docs" / "contracts.md").read_text(encoding="utf-8")
# ERC-20, ERC-165, ERC-721 with metadata, and EIP-173 with acceptance: described by their own documents.
STANDARD = {
    *(
        "name",
        "symbol",
        "decimals",
        "totalSupply",
        "allowance",
        "transfer",
        "supportsInterface",
        "balanceOf",
        "ownerOf",
    ),
    *("approve", "getApproved", "isApprovedForAll", "setApprovalForAll", "transferFrom", "safeTransferFrom"),
    *("Transfer", "Approval", "ApprovalForAll"),
}


def interface_names(kind: str) -> set[str]:
    found: set[str] = set()
    for name in contracts.CONTRACTS:
        abi = json.loads((contracts.ARTEFACTS / f"{name}.json").read_text(encoding="utf-8"))["abi"]
        found |= {item["name"] for item in abi if item["type"] == kind}
    return found


@pytest.mark.parametrize("kind", ["function", "event", "error"])
def test_docs_name_every_part_of_the_interface(kind: str) -> None:
    documented = set(re.findall(r"`(\w+)", DOCS))
    assert interface_names(kind) - STANDARD - documented == set()


def test_docs_name_no_error_that_is_not_there() -> None:
    table = DOCS.split("## Errors")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))
    assert named
    assert named - interface_names("error") == set()


def test_docs_give_the_measured_gas() -> None:
    snapshot = json.loads((contracts.ROOT / "snapshots" / "GasTest.json").read_text(encoding="utf-8"))
    table = DOCS.split("## Gas")[1].split("\n## ")[0]
    for operation, gas in snapshot.items():
        assert f"| {operation} | {int(gas):,} |" in table, operation
