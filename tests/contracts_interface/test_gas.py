"""What the contracts cost: receipts on a real chain against the goals, and against what docs/gas.md says."""

import re
from pathlib import Path

import pytest

from tools import contract_gas, contract_gas_page, contracts
from tools.contract_gas_chain import GasError, scene_open

ROWS = list(contract_gas_page.rows())


@pytest.fixture(scope="module")
def measured() -> contract_gas.Measured:
    return contract_gas.measure(contracts.ROOT)


def test_page_of_gas_holds_what_the_contracts_cost(measured: contract_gas.Measured) -> None:
    assert contract_gas_page.page(measured) == contracts.GAS_PAGE.read_text(encoding="utf-8"), (
        "run `tools/contracts.py gas --write`"
    )


def test_page_of_gas_has_a_row_for_every_figure(measured: contract_gas.Measured) -> None:
    assert {row.operation for row in ROWS} == set(measured.calls)


@pytest.mark.parametrize("row", [row for row in ROWS if row.goal is not None], ids=lambda row: row.name)
def test_goal_is_met_or_its_miss_explained(row: contract_gas_page.Row, measured: contract_gas.Measured) -> None:
    missed = contract_gas_page.is_missed(row, measured.calls)
    assert missed == bool(row.missed), f"{row.gas(measured.calls):,} gas of {row.goal:,}"


def test_gas_of_a_transaction_is_at_least_its_base(measured: contract_gas.Measured) -> None:
    for operation, gas in measured.calls.items():
        assert gas > 21_000, operation


def test_snapshot_of_forge_names_the_operations_of_the_page(measured: contract_gas.Measured) -> None:
    snapshot = contract_gas.snapshot_read(contracts.ROOT)
    assert set(measured.calls) <= set(snapshot)


def test_snapshot_of_forge_is_near_the_receipts(measured: contract_gas.Measured) -> None:
    """Two programs that count the same calls. Bytes of addresses and ids differ, and with them the data's price."""
    snapshot = contract_gas.snapshot_read(contracts.ROOT)
    for operation, gas in measured.calls.items():
        assert snapshot[operation] == pytest.approx(gas, rel=0.01, abs=600), operation


def test_gas_command_with_a_changed_page_names_it_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "gas.md"
    text = contracts.GAS_PAGE.read_text(encoding="utf-8")
    stale.write_text(re.sub(r"(\| release \| \d+),(\d)", r"\1,9\2", text), encoding="utf-8")
    assert stale.read_text(encoding="utf-8") != text
    monkeypatch.setattr(contracts, "GAS_PAGE", stale)
    with pytest.raises(contracts.ToolError, match=r"Stale: docs/gas\.md.*gas --write"):
        contracts.command_gas(write=False)


def test_measurement_of_a_call_that_reverts_says_why() -> None:
    with (
        scene_open(evm_version="cancun") as scene,
        pytest.raises(GasError, match=r"NotModelOwner.*Only the owner of model 1 may do this"),
    ):
        scene.chain.send(scene.outsider, "ModelRegistry.release", 1, b"\x01" * 32)


def test_measurement_leaves_no_trace_in_what_follows(measured: contract_gas.Measured) -> None:
    with scene_open(evm_version="cancun") as scene:
        before = scene.chain.read("ModelRegistry.modelCount")
        with scene.chain.undone():
            scene.publish(scene.outsider)
            assert scene.chain.read("ModelRegistry.modelCount") == before + 1
        assert scene.chain.read("ModelRegistry.modelCount") == before
        figures = contract_gas.anchoring(scene)
    assert figures["anchor"] == measured.calls["anchor"]
