"""A sample of the mutants that slither-mutate makes, tried against the contract tests.

slither-mutate's own runner would compile everything for each mutant. Here its operators only write the mutants; a
seeded sample becomes patches, and tools/contract_mutants.py tries those as it tries ours.
"""

import argparse
import difflib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools import contract_mutants, contracts

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "chain" / "contracts"
ANALYSER = ROOT / ".venv-audit" / "bin" / "python"
Mutant = tuple[str, str, dict[str, Any]]  # operator, file, change of a range of bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--sample", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    inputs = {name: contracts.compiler_input([name]) for name in contracts.CONTRACTS}
    project = contract_mutants.Project(contracts.ROOT, contracts.REPOSITORY, contracts.FORGE, contracts.SOLC, inputs)
    with tempfile.TemporaryDirectory(prefix="weighhouse-slither-mutate-") as directory:
        found = mutants_find()
        random.Random(options.seed).shuffle(found)
        patches = patches_write(project, found, Path(directory), options.sample)
        print(f"{len(patches)} of {len(found)} mutants, seed {options.seed}", flush=True)
        for patch in patches:
            print(f"--- {patch.stem}\n{_changed(patch)}", flush=True)
        outcomes = contract_mutants.mutants_try(project, patches, Path(directory) / "runs", options.jobs)
    return contract_mutants.verdict(outcomes, complete=False)


def mutants_find() -> list[Mutant]:
    """Every mutant, in a stable order; slither wants other packages than the rest of the project."""
    forge = str(contracts.FORGE.parent)
    done = subprocess.run(
        [str(ANALYSER), str(ROOT / "tools" / "audit_operators.py")],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PATH": f"{forge}:{ANALYSER.parent}:{os.environ['PATH']}"},
    )
    return [(operator, file, change) for operator, file, change in json.loads(done.stdout)]


def patches_write(project: contract_mutants.Project, found: list[Mutant], directory: Path, count: int) -> list[Path]:
    """Patches of the first `count` mutants that compile to other code than ours."""
    codes = {name: contract_mutants.code_compile(project, name, {}) for name in project.inputs}
    patches: list[Path] = []
    for operator, file, change in found:
        if len(patches) == count:
            break
        name = str(Path(file).relative_to(CONTRACTS))
        patch = directory / f"{len(patches) + 1:02}-{operator}-{Path(file).stem}-{change['line_number']}.patch"
        patch.write_text(_diff(name, Path(file).read_bytes(), change), encoding="utf-8")
        try:
            mutated = contract_mutants.mutant_compile(project, CONTRACTS / "src", patch)
        except contract_mutants.MutantError:
            patch.unlink()
            continue
        if all(code == codes[contract] for contract, code in mutated.items()):
            patch.unlink()
            continue
        patches.append(patch)
    return patches


def _diff(name: str, text: bytes, change: dict[str, Any]) -> str:
    mutated = text[: change["start"]] + change["new_string"].encode() + text[change["end"] :]
    old, new = (version.decode().splitlines(keepends=True) for version in (text, mutated))
    return "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))


def _changed(patch: Path) -> str:
    lines = patch.read_text(encoding="utf-8").splitlines()[3:]
    return "\n".join(line for line in lines if line.startswith(("+", "-")))


if __name__ == "__main__":
    sys.exit(main())
