"""Seeded mutants: do the contract tests notice a broken contract?

Each `chain/contracts/mutants/*.patch` plants one fault. The tests run on a copy of the project with that one patch
applied; a mutant that no test notices is a hole in the tests. The invariants are counted by themselves, because an
invariant can hold for the wrong reason: these numbers show that ours can fail.
"""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MIN_KILLED_BY_INVARIANTS = 10


# A failure is enough here: shrinking it to the shortest sequence is for a person who debugs. Without the optimizer, and
# with tests that find contracts at run time, a mutant compiles in a few seconds.
FORGE_SETTINGS = {
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_DYNAMIC_TEST_LINKING": "true",
}


class MutantError(Exception):
    """A mutant could not be tried; the message says why."""


@dataclass
class Outcome:
    """Which tests noticed a mutant, by name."""

    mutant: str
    unit: list[str]
    invariants: list[str]

    @property
    def killed(self) -> bool:
        return bool(self.unit or self.invariants)


def run(*, root: Path, repository: Path, forge: Path, names: list[str]) -> int:
    """Try the mutants and print a table. Returns 0 when all were noticed, enough of them by invariants."""
    patches = sorted((root / "mutants").glob("*.patch"))
    chosen = [patch for patch in patches if not names or patch.stem in names]
    if not chosen:
        print(f"no such mutant; there are: {', '.join(patch.stem for patch in patches)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="weighhouse-mutants-") as directory:
        try:
            copy = project_copy(root=root, repository=repository, directory=Path(directory))
            baseline = tests_run(copy, forge, "(unchanged)")
            if baseline.killed:
                raise MutantError(f"the tests fail without a mutant: {baseline.unit + baseline.invariants}")
            print(f"{'mutant':44} {'unit':>5} {'inv.':>5}  noticed first by", flush=True)
            outcomes = [mutant_try(copy, forge, patch) for patch in chosen]
        except MutantError as error:
            print(error)
            return 1
    return verdict(outcomes, complete=not names)


def verdict(outcomes: list[Outcome], *, complete: bool) -> int:
    survivors = [outcome.mutant for outcome in outcomes if not outcome.killed]
    by_invariants = sum(bool(outcome.invariants) for outcome in outcomes)
    print(f"\n{len(outcomes)} mutants, {len(outcomes) - len(survivors)} noticed, {by_invariants} by invariants alone")
    if survivors:
        print(f"not noticed: {', '.join(survivors)}")
    too_few = complete and by_invariants < MIN_KILLED_BY_INVARIANTS
    if too_few:
        print(f"the invariants alone must notice at least {MIN_KILLED_BY_INVARIANTS}")
    return 1 if survivors or too_few else 0


def project_copy(*, root: Path, repository: Path, directory: Path) -> Path:
    """Copy the Foundry project and link what it refers to at the same relative places."""
    copy = directory / "chain" / "contracts"
    for part in ("src", "test"):
        shutil.copytree(root / part, copy / part)
    shutil.copy(root / "foundry.toml", copy)
    (copy / "node_modules").symlink_to(repository / "node_modules")
    (directory / "tools").symlink_to(repository / "tools")
    return copy


def mutant_try(copy: Path, forge: Path, patch: Path) -> Outcome:
    """Apply the patch, run the tests, take the patch back, print a line."""
    patch_apply(copy, patch)
    try:
        outcome = tests_run(copy, forge, patch.stem)
    finally:
        patch_apply(copy, patch, "--reverse")
    first = (outcome.unit + outcome.invariants or ["NOBODY"])[0]
    print(f"{patch.stem:44} {len(outcome.unit):5} {len(outcome.invariants):5}  {first}", flush=True)
    return outcome


def patch_apply(copy: Path, patch: Path, *options: str) -> None:
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", *options, str(patch)],
        check=False,
        cwd=copy,
        capture_output=True,
        text=True,
    )
    if applied.returncode != 0:
        raise MutantError(f"{patch.name} does not fit the contracts any more; renew it:\n{applied.stderr}")


def tests_run(copy: Path, forge: Path, mutant: str) -> Outcome:
    """Run all forge tests. Raises MutantError where they do not even run, as with a mutant that does not compile."""
    # forge replays recorded failures first; those of another mutant would only cost time.
    for recorded in ("invariant", "fuzz"):
        shutil.rmtree(copy / "cache" / recorded, ignore_errors=True)
    forged = subprocess.run(
        [str(forge), "test", "--json", "--no-match-contract", "GasTest"],
        cwd=copy,
        env={**os.environ, **FORGE_SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        suites = json.loads(forged.stdout)
    except json.JSONDecodeError as error:
        raise MutantError(
            f"{mutant}: the tests did not run:\n{forged.stdout[-2000:]}\n{forged.stderr[-2000:]}"
        ) from error
    failed = [
        name.split("(")[0]
        for suite in suites.values()
        for name, result in suite["test_results"].items()
        if result["status"] != "Success"
    ]
    return Outcome(
        mutant,
        [name for name in failed if not name.startswith("invariant_")],
        [name for name in failed if name.startswith("invariant_")],
    )
