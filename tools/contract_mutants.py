"""Seeded mutants: do the contract tests notice a broken contract?

Each `chain/contracts/mutants/*.patch` plants one fault. A mutant that no test notices is a hole in the tests. The unit
tests and the invariants are asked separately, because an invariant can hold for the wrong reason: what the invariants
notice alone shows that ours can fail.

1. Copy the project and compile it once, in such a way that tests deploy contracts from their artefacts
   (tools/contract_tests.py).
2. The tests pass there; or nothing could be said.
3. For each patch: compile the contracts that contain the patched file, and nothing else; put their code into the
   artefacts; run the unit tests and then the invariants, each until the first failure; put the old code back.

So a test that includes a library instead of deploying a contract sees the library unbroken.
"""

import json
import os
import queue
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import contract_tests

MIN_KILLED_BY_INVARIANTS = 10
CONTRACTS = Path("chain") / "contracts"
PATCHED_FILE = re.compile(r"^\+\+\+ b/(\S+)", re.MULTILINE)

# A failure is enough here: shrinking it to the shortest sequence is for a person who debugs. Fewer fuzzed inputs and
# sequences than in the test run are enough for faults that somebody planted.
FORGE_SETTINGS = {
    "FOUNDRY_PROFILE": contract_tests.PROFILE,
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_INVARIANT_RUNS": "24",
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
}
# What each group of tests does without, and whether it pays to optimize the tests: the invariants' many steps do. Each
# is a project of its own, because with a filter forge would parse all sources again before each run. Gas is compared
# elsewhere.
GROUPS = {
    "unit": ("test/invariant", "test/unit/Gas.t.sol"),
    "invariants": ("test/unit", "src/ReceiptAnchor.sol"),
}
OPTIMIZED = {"unit": "false", "invariants": "true"}


class MutantError(Exception):
    """A mutant could not be tried; the message says why."""


@dataclass(frozen=True)
class Project:
    """What to break, and with what it is compiled and tested."""

    root: Path
    repository: Path
    forge: Path
    solc: Path
    # {contract: its standard-JSON request}; the sources of each are exactly those that it contains.
    inputs: dict[str, dict[str, Any]]


@dataclass
class Outcome:
    """Which tests noticed a mutant, by name."""

    mutant: str
    unit: list[str]
    invariants: list[str]

    @property
    def killed(self) -> bool:
        return bool(self.unit or self.invariants)

    @property
    def killers(self) -> str:
        if self.unit and self.invariants:
            return "both"
        return "unit" if self.unit else "invariants" if self.invariants else "NOBODY"


def run(project: Project, *, names: list[str], sample: int | None = None, jobs: int | None = None) -> int:
    """Try the mutants and print a table. Returns 0 when all were noticed, enough of them by the invariants.

    `names` restricts them to these, `sample` to so many at random; `jobs` are tried at once.
    """
    patches = sorted((project.root / "mutants").glob("*.patch"))
    chosen = [patch for patch in patches if not names or patch.stem in names]
    if sample is not None:
        chosen = sorted(random.sample(chosen, min(sample, len(chosen))))
    if not chosen:
        print(f"no such mutant; there are: {', '.join(patch.stem for patch in patches)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="weighhouse-mutants-") as directory:
        try:
            outcomes = mutants_try(project, chosen, Path(directory), jobs or os.cpu_count() or 1)
        except MutantError as error:
            print(error)
            return 1
    return verdict(outcomes, complete=not names and sample is None)


def mutants_try(project: Project, patches: list[Path], directory: Path, jobs: int) -> list[Outcome]:
    """Try the patches on `jobs` copies of the project at once. One that does not fit or compile fails all."""
    first = directory / "0"
    for group, without in GROUPS.items():
        project_copy(project, first / group, without)
    for patch in patches:
        patch_apply(first / "unit" / CONTRACTS, patch, "--check")
    baseline = Outcome("(unchanged)", *tests_run(first, project.forge))
    if baseline.killed:
        raise MutantError(f"the tests fail without a mutant: {baseline.unit + baseline.invariants}")
    codes = {name: code_compile(project, name, {}) for name in project.inputs}
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    copies.put(first)
    for number in range(1, min(jobs, len(patches))):
        copies.put(shutil.copytree(first, directory / str(number), symlinks=True))
    print(f"{'mutant':52} {'killed by':11} noticed first by", flush=True)

    def one(patch: Path) -> Outcome | MutantError:
        copy = copies.get()
        try:
            return mutant_try(project, copy, patch, codes)
        except MutantError as error:
            return error
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = list(pool.map(one, patches))
    errors = [str(result) for result in results if isinstance(result, MutantError)]
    if errors:
        raise MutantError("\n".join(errors))
    return [result for result in results if isinstance(result, Outcome)]


def verdict(outcomes: list[Outcome], *, complete: bool) -> int:
    survivors = [outcome.mutant for outcome in outcomes if not outcome.killed]
    by_invariants = sum(bool(outcome.invariants) for outcome in outcomes)
    by_unit = sum(bool(outcome.unit) for outcome in outcomes)
    print(
        f"\n{len(outcomes)} mutants, {len(outcomes) - len(survivors)} noticed; "
        f"{by_unit} by the unit tests alone, {by_invariants} by the invariants alone"
    )
    if survivors:
        print(f"not noticed: {', '.join(survivors)}")
    too_few = complete and by_invariants < MIN_KILLED_BY_INVARIANTS
    if too_few:
        print(f"the invariants alone must notice at least {MIN_KILLED_BY_INVARIANTS}")
    return 1 if survivors or too_few else 0


def project_copy(project: Project, directory: Path, without: tuple[str, ...]) -> None:
    """Copy the Foundry project and link what it refers to at the same relative places."""
    copy = directory / CONTRACTS
    for part in ("src", "test"):
        shutil.copytree(project.root / part, copy / part)
    shutil.copy(project.root / "foundry.toml", copy)
    (copy / "node_modules").symlink_to(project.repository / "node_modules")
    (directory / "tools").symlink_to(project.repository / "tools")
    for path in without:
        if (copy / path).is_dir():
            shutil.rmtree(copy / path)
        else:
            (copy / path).unlink()


def mutant_try(project: Project, copy: Path, patch: Path, codes: dict[str, str]) -> Outcome:
    """Put the mutant's code into the artefacts, run the tests, put the old code back, print a line.

    `codes` is the creation code of each contract without a mutant.
    """
    compiled = mutant_compile(project, copy / "unit" / CONTRACTS / "src", patch)
    mutants = {name: code for name, code in compiled.items() if code != codes[name]}
    if not mutants:
        raise MutantError(f"{patch.name} changes no contract")
    changed = artefacts(copy, mutants)
    kept = {path: path.read_text(encoding="utf-8") for paths in changed.values() for path in paths}
    try:
        for path in kept:
            contract_tests.code_put(path, "0x" + mutants[path.stem])
        outcome = Outcome(patch.stem, *tests_run(copy, project.forge, list(changed)))
    finally:
        for path, text in kept.items():
            path.write_text(text, encoding="utf-8")
    noticed = ", ".join(outcome.unit[:1] + outcome.invariants[:1])
    print(f"{patch.stem:52} {outcome.killers:11} {noticed}", flush=True)
    return outcome


def artefacts(copy: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    """Return {group: artefacts of the contracts `names` there}, for the groups that have any of them."""
    paths = {
        group: [contract_tests.artefact_path(copy / group / CONTRACTS, name) for name in names] for group in GROUPS
    }
    present = {group: [path for path in candidates if path.is_file()] for group, candidates in paths.items()}
    return {group: found for group, found in present.items() if found}


def mutant_compile(project: Project, source: Path, patch: Path) -> dict[str, str]:
    """Return {contract: creation code} of the contracts that contain the file that the patch changes."""
    patched = PATCHED_FILE.findall(patch.read_text(encoding="utf-8"))
    affected = [name for name, request in project.inputs.items() if set(patched) & set(request["sources"])]
    with tempfile.TemporaryDirectory(prefix="weighhouse-mutant-") as directory:
        shutil.copytree(source, Path(directory) / source.name)
        patch_apply(Path(directory), patch)
        texts = {name: (Path(directory) / name).read_text(encoding="utf-8") for name in patched}
    try:
        return {name: code_compile(project, name, texts) for name in affected}
    except MutantError as error:
        raise MutantError(f"{patch.name}: {error}") from error


def patch_apply(directory: Path, patch: Path, *options: str) -> None:
    """Lines may have moved since the patch was made; those around the fault must be the same."""
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", *options, str(patch)],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
    )
    if applied.returncode != 0:
        raise MutantError(f"{patch.name} does not fit the contracts any more; renew it:\n{applied.stderr}")


def code_compile(project: Project, name: str, texts: dict[str, str]) -> str:
    """Return the creation code of the contract `name` with `texts` in place of its sources. No optimizer."""
    request = project.inputs[name]
    sources = {**request["sources"], **{file: {"content": text} for file, text in texts.items()}}
    settings = {
        **request["settings"],
        "optimizer": {"enabled": False},
        "viaIR": False,
        "outputSelection": {f"src/{name}.sol": {name: ["evm.bytecode.object"]}},
    }
    compiled = subprocess.run(
        [str(project.solc), "--standard-json"],
        input=json.dumps({**request, "sources": sources, "settings": settings}),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        code: str = json.loads(compiled.stdout)["contracts"][f"src/{name}.sol"][name]["evm"]["bytecode"]["object"]
    except (json.JSONDecodeError, KeyError) as error:
        raise MutantError(f"{name} does not compile:\n{compiled.stdout[-2000:]}{compiled.stderr[-2000:]}") from error
    return code


def tests_run(copy: Path, forge: Path, groups: Iterable[str] = GROUPS) -> tuple[list[str], list[str]]:
    """Return the names of the unit tests and of the invariants that fail, of each the first few."""
    failed = {group: group_run(copy / group / CONTRACTS, forge, OPTIMIZED[group]) for group in groups}
    return failed.get("unit", []), failed.get("invariants", [])


def group_run(root: Path, forge: Path, optimized: str) -> list[str]:
    # forge replays recorded failures first; those of another mutant would only cost time.
    for recorded in ("invariant", "fuzz"):
        shutil.rmtree(root / "cache" / recorded, ignore_errors=True)
    forged = subprocess.run(
        [str(forge), "test", "--json", "--fail-fast"],
        cwd=root,
        env={**os.environ, **FORGE_SETTINGS, "FOUNDRY_OPTIMIZER": optimized},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        suites = json.loads(forged.stdout)
    except json.JSONDecodeError as error:
        raise MutantError(f"the tests did not run:\n{forged.stdout[-2000:]}\n{forged.stderr[-2000:]}") from error
    return [
        name.split("(")[0]
        for suite in suites.values()
        for name, result in suite["test_results"].items()
        if result["status"] == "Failure"
    ]
