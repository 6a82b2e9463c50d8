"""The committed ABI and bytecode: the check that keeps them equal to the sources."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools import contract_tests, contracts


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    return contracts.artefacts_compile()


@pytest.fixture
def generated(compiled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that holds what `check` compares with, fresh. Nothing is compiled again, as that takes long."""
    for path, text in compiled.items():
        contracts.file_replace(tmp_path / path, text)
    monkeypatch.setattr(contracts, "OUTPUT", tmp_path)
    monkeypatch.setattr(contracts, "artefacts_compile", lambda names=contracts.CONTRACTS: compiled)
    return tmp_path


def artefacts(compiled: dict[str, str]) -> dict[str, dict[str, Any]]:
    return {name: json.loads(compiled[f"abi/{name}.json"]) for name in contracts.CONTRACTS}


def test_generated_files_committed_equal_what_the_sources_compile_to(compiled: dict[str, str]) -> None:
    for path, text in compiled.items():
        assert (contracts.OUTPUT / path).read_text(encoding="utf-8") == text, path


def test_generated_files_are_the_artefacts_and_the_compilers_input(compiled: dict[str, str]) -> None:
    assert set(compiled) == {*(f"abi/{name}.json" for name in contracts.CONTRACTS), contracts.COMPILER_INPUT}


def test_artefacts_carry_what_a_deployer_needs(compiled: dict[str, str]) -> None:
    for name, artefact in artefacts(compiled).items():
        assert list(artefact) == ["contractName", "abi", "bytecode", "deployedBytecode"]
        assert artefact["contractName"] == name
        # EIP-170 and EIP-3860: what a chain accepts; and no placeholder of an unlinked library.
        assert 2 < len(bytes.fromhex(artefact["deployedBytecode"][2:])) <= 24_576
        assert len(bytes.fromhex(artefact["bytecode"][2:])) <= 49_152


def test_compiler_input_holds_the_settings_of_foundry_and_every_source(compiled: dict[str, str]) -> None:
    """The artefacts are compiled from this very request, so an explorer that compiles it finds the same bytecode."""
    request = json.loads(compiled[contracts.COMPILER_INPUT])
    profile = tomllib.loads((contracts.ROOT / "foundry.toml").read_text(encoding="utf-8"))["profile"]["default"]
    assert request["settings"]["optimizer"] == {"enabled": True, "runs": profile["optimizer_runs"]}
    assert request["settings"]["viaIR"] == profile.get("via_ir", False)
    assert {f"src/{name}.sol" for name in contracts.CONTRACTS} <= set(request["sources"])
    for name, source in request["sources"].items():
        for imported in contracts.IMPORT.findall(source["content"]):
            path = Path(name).parent / imported if imported.startswith(".") else imported
            assert os.path.normpath(path) in request["sources"], f"{name} imports {imported}"


def test_compiler_input_names_no_path_of_this_machine(compiled: dict[str, str]) -> None:
    assert str(contracts.REPOSITORY) not in compiled[contracts.COMPILER_INPUT]
    for source in json.loads(compiled[contracts.COMPILER_INPUT])["sources"]:
        assert not Path(source).is_absolute()


def test_contract_compiled_alone_has_the_same_bytecode(compiled: dict[str, str]) -> None:
    alone = contracts.artefacts_compile(["TestUSD"])
    assert alone == {"abi/TestUSD.json": compiled["abi/TestUSD.json"]}


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [("abi/LicenceMarket.json", "0x60", "0x61"), (contracts.COMPILER_INPUT, '"runs": 1', '"runs": 2')],
)
def test_check_with_a_changed_file_names_it_and_the_command(
    generated: Path, path: str, before: str, after: str
) -> None:
    stale = generated / path
    text = stale.read_text(encoding="utf-8")
    assert before in text
    stale.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(contracts.ToolError, match=rf"Stale: chain/contracts/{path}\..*contracts\.py build"):
        contracts.command_check()


def test_check_with_missing_files_names_them(generated: Path, compiled: dict[str, str]) -> None:
    for path in compiled:
        (generated / path).unlink()
    with pytest.raises(contracts.ToolError) as refusal:
        contracts.command_check()
    for name in [*contracts.CONTRACTS, "standard-json-input"]:
        assert f"{name}.json" in str(refusal.value)


def test_build_of_one_contract_writes_that_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "OUTPUT", tmp_path)
    assert contracts.command_build(["TestUSD"]) == 0
    assert [path.name for path in tmp_path.rglob("*.json")] == ["TestUSD.json"]


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


def test_tests_of_sources_that_were_not_built_are_refused(generated: Path) -> None:
    committed = generated / contracts.COMPILER_INPUT
    committed.write_text(committed.read_text(encoding="utf-8").replace("pragma", "// changed\\npragma", 1))
    with pytest.raises(contracts.ToolError, match=r"contracts\.py build"):
        contracts.tests_prepare()


def test_code_put_changes_what_tests_deploy_and_nothing_else(tmp_path: Path) -> None:
    artefact = tmp_path / "Some.json"
    artefact.write_text(json.dumps({"abi": [1], "bytecode": {"object": "0x00", "sourceMap": ""}}))
    contract_tests.code_put(artefact, "0xfe")
    assert json.loads(artefact.read_text()) == {"abi": [1], "bytecode": {"object": "0xfe", "sourceMap": ""}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["build", "--fast"], "unknown arguments: --fast"), (["build", "Nothing"], "the contracts are ModelRegistry")],
)
def test_command_with_an_unknown_argument_exits_with_usage(arguments: list[str], said: str) -> None:
    run = subprocess.run(
        [sys.executable, str(contracts.REPOSITORY / "tools" / "contracts.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert said in run.stderr
