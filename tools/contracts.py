#!/usr/bin/env python3
"""Build, check and test the contracts. Needs Node and `npm ci`; nothing here uses the network.

build    compile and write chain/contracts/abi/*.json, and the compiler's input for explorers beside them; names of
         contracts restrict it to these
check    compile and fail when what was committed differs, or when `forge fmt` would change a source
test     run the forge tests on the committed code and compare the gas snapshot; further arguments go to `forge test`,
         which then does without the snapshot
gas      compare the gas snapshot, and docs/gas.md with receipts on a development chain; `--write` renews both
mutants  break the contracts one patch at a time and show which tests notice
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tools import contract_gas, contract_mutants, contract_tests  # noqa: E402  (the script may be started from any directory)

ROOT = REPOSITORY / "chain" / "contracts"
# Where generated files lie, below it as `artefacts_compile` names them.
OUTPUT = ROOT
ARTEFACTS = OUTPUT / "abi"
# What an explorer asks for: exactly what the compiler was given, one file for all contracts.
COMPILER_INPUT = "verify/standard-json-input.json"
GAS_PAGE = REPOSITORY / "docs" / "gas.md"
CONTRACTS = ("ModelRegistry", "LicenceMarket", "ReceiptAnchor", "TestUSD")
FORGE = REPOSITORY / "node_modules" / ".bin" / "forge"
SOLC = REPOSITORY / "tools" / "solc"
IMPORT = re.compile(r'^\s*import\s+(?:[^"\';]*\sfrom\s+)?["\']([^"\']+)["\']\s*;', re.MULTILINE)


class ToolError(Exception):
    """Something a person has to mend; the message says what."""


def sources_collect(entries: list[str], remappings: dict[str, str]) -> dict[str, str]:
    """Return {source unit name: text} of `entries` (paths below ROOT) and everything that they import."""
    sources: dict[str, str] = {}
    wanted = list(entries)
    while wanted:
        name = wanted.pop()
        if name in sources:
            continue
        file = ROOT / name
        for prefix, target in remappings.items():
            if name.startswith(prefix):
                file = ROOT / target / name.removeprefix(prefix)
        if not file.is_file():
            raise ToolError(f"{name} is imported but not found at {file}. Run `npm ci`.")
        sources[name] = file.read_text(encoding="utf-8")
        for imported in IMPORT.findall(sources[name]):
            relative = imported.startswith(".")
            wanted.append(os.path.normpath(Path(name).parent / imported) if relative else imported)
    return sources


def solc_run(request: dict[str, Any]) -> dict[str, Any]:
    """Compile a standard-JSON request. Raises ToolError on an error, and on a warning about our own sources."""
    node_require()
    run = subprocess.run(
        [str(SOLC), "--standard-json"], input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise ToolError(f"tools/solc failed:\n{run.stderr}")
    answer: dict[str, Any] = json.loads(run.stdout)
    diagnostics = [
        item["formattedMessage"]
        for item in answer.get("errors", [])
        if item["severity"] == "error" or item.get("sourceLocation", {}).get("file", "").startswith("src/")
    ]
    if diagnostics:
        raise ToolError("The contracts do not compile without warnings:\n" + "\n".join(diagnostics))
    return answer


def compiler_input(names: Sequence[str] = CONTRACTS) -> dict[str, Any]:
    """The standard-JSON request that compiles the contracts `names` with the settings of foundry.toml."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text(encoding="utf-8"))["profile"]["default"]
    remappings = dict(line.split("=", 1) for line in profile["remappings"])
    entries = [f"src/{name}.sol" for name in names]
    return {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sorted(sources_collect(entries, remappings).items())},
        "settings": {
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "viaIR": profile.get("via_ir", False),
            "evmVersion": profile["evm_version"],
            "metadata": {"bytecodeHash": profile["bytecode_hash"], "appendCBOR": profile["cbor_metadata"]},
            "outputSelection": {
                name: {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]} for name in entries
            },
        },
    }


def artefacts_compile(names: Sequence[str] = CONTRACTS) -> dict[str, str]:
    """Return {path below OUTPUT: text} of what is generated from the sources of the contracts `names`."""
    request = compiler_input(names)
    answer = solc_run(request)
    files = {f"abi/{name}.json": artefact_text(name, answer["contracts"][f"src/{name}.sol"][name]) for name in names}
    if set(names) == set(CONTRACTS):
        files[COMPILER_INPUT] = json.dumps(request, indent=1) + "\n"
    return files


def artefact_text(name: str, output: dict[str, Any]) -> str:
    artefact = {
        "contractName": name,
        "abi": output["abi"],
        "bytecode": "0x" + output["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + output["evm"]["deployedBytecode"]["object"],
    }
    return json.dumps(artefact, indent=1) + "\n"


def node_require() -> None:
    if not (REPOSITORY / "node_modules" / "solc").is_dir():
        raise ToolError("The contract tool chain is not installed. Run `npm ci` (Node 20 or newer).")


def forge_run(arguments: list[str], *, profile: str = "default") -> int:
    """Run forge on the project and return its exit status."""
    node_require()
    environment = {**os.environ, "FOUNDRY_PROFILE": profile}
    return subprocess.run([str(FORGE), *arguments], cwd=ROOT, env=environment, check=False).returncode


def command_build(names: Sequence[str]) -> int:
    for path, text in artefacts_compile(names or CONTRACTS).items():
        file_replace(OUTPUT / path, text)
        print(f"wrote chain/contracts/{path}")
    return 0


def file_replace(path: Path, text: str) -> None:
    """Write `path` in one step, so that a reader never sees half of it."""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as temporary:
        temporary.write(text)
    Path(temporary.name).chmod(0o644)
    Path(temporary.name).replace(path)


def command_check() -> int:
    stale = []
    for path, text in artefacts_compile().items():
        committed = OUTPUT / path
        if not committed.is_file() or committed.read_text(encoding="utf-8") != text:
            stale.append(f"chain/contracts/{path}")
    if stale:
        raise ToolError(
            f"Stale: {', '.join(stale)}. The contracts in chain/contracts/src compile to something else. "
            "Run `tools/contracts.py build` and commit the result."
        )
    print(f"the artefacts of {', '.join(CONTRACTS)} equal the sources")
    return forge_run(["fmt", "--check", "src", "test"])


def command_test(arguments: list[str]) -> int:
    """Run the tests, or `forge test` with these arguments. Raises ToolError where the committed code is not tested."""
    tests_prepare()
    return forge_run(["test", *arguments], profile=contract_tests.PROFILE) or (0 if arguments else snapshot_run())


def tests_prepare() -> None:
    """Compile the tests and put the committed code into the artefacts that they deploy.

    Raises ToolError where the sources are not those of the committed code, or the tests do not compile.
    """
    committed = OUTPUT / COMPILER_INPUT
    if not committed.is_file() or json.loads(committed.read_text(encoding="utf-8")) != compiler_input():
        raise ToolError(
            "The sources or the compiler's settings changed since the artefacts were built, and the tests run on the "
            "artefacts. Run `tools/contracts.py build`."
        )
    if forge_run(["build"], profile=contract_tests.PROFILE):
        raise ToolError("The tests do not compile.")
    for name in CONTRACTS:
        code = json.loads((ARTEFACTS / f"{name}.json").read_text(encoding="utf-8"))["bytecode"]
        contract_tests.code_put(contract_tests.artefact_path(ROOT, name), code)


def snapshot_run(*, write: bool = False) -> int:
    """Compare what each call of GasTest costs with chain/contracts/snapshots/GasTest.json, or write that file."""
    mode = ["--gas-snapshot-emit", "true"] if write else ["--gas-snapshot-check", "true"]
    selection = ["test", "--match-path", "test/unit/Gas.t.sol", "--isolate", *mode]
    return forge_run(selection, profile=contract_tests.PROFILE)


def command_gas(*, write: bool) -> int:
    """The snapshot by forge, and docs/gas.md by receipts of a development chain."""
    try:
        page = contract_gas.page_text(ROOT)
    except contract_gas.GasError as error:
        raise ToolError(str(error)) from error
    if write:
        file_replace(GAS_PAGE, page)
        print("wrote docs/gas.md")
    elif not GAS_PAGE.is_file() or GAS_PAGE.read_text(encoding="utf-8") != page:
        raise ToolError(
            "Stale: docs/gas.md does not say what the contracts cost. Run `tools/contracts.py gas --write`."
        )
    tests_prepare()
    return snapshot_run(write=write)


def arguments_parse() -> tuple[argparse.Namespace, list[str]]:
    """The command's arguments, and those for forge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("names", nargs="*", metavar="contract", help="only these")
    commands.add_parser("check")
    commands.add_parser("test", add_help=False)
    commands.add_parser("gas").add_argument("--write", action="store_true")
    mutants = commands.add_parser("mutants")
    mutants.add_argument("names", nargs="*", help="only these patches, by file name without .patch")
    mutants.add_argument("--sample", type=int, metavar="N", help="only N of them, at random")
    mutants.add_argument("--jobs", type=int, help="how many to try at once; as many as there are processors")
    known, rest = parser.parse_known_args()
    if rest and known.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if known.command == "build" and not set(known.names) <= set(CONTRACTS):
        parser.error(f"the contracts are {', '.join(CONTRACTS)}")
    return known, rest


def main() -> int:
    known, rest = arguments_parse()
    try:
        if known.command == "build":
            return command_build(known.names)
        if known.command == "check":
            return command_check()
        if known.command == "test":
            return command_test(rest)
        if known.command == "gas":
            return command_gas(write=known.write)
        node_require()
        inputs = {name: compiler_input([name]) for name in CONTRACTS}
        project = contract_mutants.Project(ROOT, REPOSITORY, FORGE, SOLC, inputs)
        return contract_mutants.run(project, names=known.names, sample=known.sample, jobs=known.jobs)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
