"""The pages on the contracts name everything that these add to the standards, and nothing that is not there."""

import json
import re
from pathlib import Path

import pytest

from chain.bindings.structs import SkipReason

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "ModelRegistry": "contracts-registry.md",
    "LicenceMarket": "contracts-market.md",
    "ReceiptAnchor": "contracts-anchor.md",
    "TestUSD": "contracts-testusd.md",
}
# ERC-20, ERC-165 and ERC-721 with metadata: described by their own documents.
STANDARD = {
    *("name", "symbol", "decimals", "totalSupply", "allowance", "transfer", "supportsInterface", "balanceOf"),
    *("ownerOf", "approve", "getApproved", "isApprovedForAll", "setApprovalForAll", "transferFrom"),
    *("safeTransferFrom", "Transfer", "Approval", "ApprovalForAll"),
}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def interface(contract: str, kind: str) -> set[str]:
    text = (ROOT / "chain" / "contracts" / "abi" / f"{contract}.json").read_text(encoding="utf-8")
    return {item["name"] for item in json.loads(text)["abi"] if item["type"] == kind}


def errors_listed(text: str) -> set[str]:
    tables = re.findall(r"^## Errors.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = [row.split("|")[1] for table in tables for row in table.splitlines() if row.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.parametrize("kind", ["function", "event"])
@pytest.mark.parametrize("contract", PAGES)
def test_page_of_a_contract_names_every_part_of_its_interface(contract: str, kind: str) -> None:
    named = set(re.findall(r"`(\w+)", page(PAGES[contract]) + page("contracts.md")))
    assert interface(contract, kind) - STANDARD - named == set()


@pytest.mark.parametrize("contract", PAGES)
def test_page_of_a_contract_lists_its_errors_and_no_others(contract: str) -> None:
    shared = errors_listed(page("contracts.md"))
    listed = errors_listed(page(PAGES[contract]))
    assert interface(contract, "error") - shared == listed
    assert not listed & shared


def test_errors_that_both_tokens_share_are_in_both() -> None:
    shared = errors_listed(page("contracts.md"))
    assert len(shared) > 5
    assert shared <= interface("ModelRegistry", "error") & interface("LicenceMarket", "error")


def test_every_page_is_reached_from_the_first() -> None:
    first = page("contracts.md")
    for name in (*PAGES.values(), "gas.md", "decisions.md"):
        assert f"]({name})" in first


def test_anchors_of_links_between_the_pages_exist() -> None:
    for name in ("contracts.md", *PAGES.values()):
        for target, anchor in re.findall(r"\]\((contracts[\w-]*\.md)#([\w-]+)\)", page(name)):
            headings = re.findall(r"^#+ (.+)$", page(target), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-").replace(",", "") for heading in headings}, anchor


def test_reasons_for_skipping_a_report_have_their_numbers() -> None:
    rows = re.findall(r"^\| (\d) (\w+) \|", page("contracts-market.md"), re.MULTILINE)
    named = {int(number): name.upper() for number, name in rows}
    assert named == {reason.value: reason.name.replace("_", "") for reason in SkipReason}
