"""The committed ABI and bytecode: the check that keeps them equal to the sources."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import contracts


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    return contracts.artefacts_compile()


def test_artefacts_committed_equal_the_compiled_sources(compiled: dict[str, str]) -> None:
    for name, text in compiled.items():
        assert (contracts.ARTEFACTS / f"{name}.json").read_text(encoding="utf-8") == text, name


def test_artefacts_carry_what_a_deployer_needs(compiled: dict[str, str]) -> None:
    for name, text in compiled.items():
        artefact = json.loads(text)
        assert list(artefact) == ["contractName", "abi", "bytecode", "deployedBytecode"]
        assert artefact["contractName"] == name
        # EIP-170 and EIP-3860: what a chain accepts; and no placeholder of an unlinked library.
        assert 2 < len(bytes.fromhex(artefact["deployedBytecode"][2:])) <= 24_576
        assert len(bytes.fromhex(artefact["bytecode"][2:])) <= 49_152


def test_check_with_a_changed_artefact_names_it_and_the_command(
    compiled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in compiled.items():
        (tmp_path / f"{name}.json").write_text(text)
    stale = tmp_path / "LicenceMarket.json"
    stale.write_text(stale.read_text().replace("0x60", "0x61", 1))
    monkeypatch.setattr(contracts, "ARTEFACTS", tmp_path)
    with pytest.raises(
        contracts.ToolError, match=r"Stale: chain/contracts/abi/LicenceMarket\.json\..*contracts\.py build"
    ):
        contracts.command_check()


def test_check_with_a_missing_artefact_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "ARTEFACTS", tmp_path)
    with pytest.raises(contracts.ToolError, match=r"ModelRegistry\.json.*LicenceMarket\.json.*TestUSD\.json"):
        contracts.command_check()


def test_compile_with_a_broken_source_shows_the_compilers_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(contracts.ROOT / "src", tmp_path / "src")
    shutil.copy(contracts.ROOT / "foundry.toml", tmp_path)
    (tmp_path / "node_modules").symlink_to(contracts.REPOSITORY / "node_modules")
    (tmp_path / "src" / "TestUSD.sol").write_text("pragma solidity 0.8.37; contract TestUSD { uint8 x = 256; }")
    monkeypatch.setattr(contracts, "ROOT", tmp_path)
    with pytest.raises(contracts.ToolError, match=r"(?s)TestUSD\.sol.*uint8"):
        contracts.artefacts_compile()


def test_compile_with_a_missing_library_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(contracts.ROOT / "src", tmp_path / "src")
    shutil.copy(contracts.ROOT / "foundry.toml", tmp_path)
    monkeypatch.setattr(contracts, "ROOT", tmp_path)
    with pytest.raises(contracts.ToolError, match="npm ci"):
        contracts.artefacts_compile()


def test_command_with_an_unknown_argument_exits_with_usage() -> None:
    run = subprocess.run(
        [sys.executable, str(contracts.REPOSITORY / "tools" / "contracts.py"), "build", "--fast"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "unknown arguments: --fast" in run.stderr
