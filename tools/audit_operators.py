"""Prints the mutants that slither-mutate's operators make of our contracts, as JSON; see tools/audit_mutate.py."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from slither import Slither  # type: ignore[import-not-found]
from slither.exceptions import SlitherException  # type: ignore[import-not-found]
from slither.tools.mutator.mutators import all_mutators  # type: ignore[import-not-found]
from slither.tools.mutator.mutators.abstract_mutator import AbstractMutator  # type: ignore[import-not-found]

CONTRACTS = Path(__file__).resolve().parents[1] / "chain" / "contracts"
MUTATED = (
    *("LicenceMarket", "Licences", "Incomes", "Plans", "ModelClock", "MarketRoles", "Operators"),
    *("ModelRegistry", "Vesting", "Shares", "Terms", "Lineage"),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="weighhouse-slither-mutate-") as directory:
        found = mutants_find(Path(directory))
    json.dump(found, sys.stdout)
    return 0


def mutants_find(directory: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(operator, file, change of a range of bytes) of every mutant, in a stable order."""
    os.environ.update(FOUNDRY_OUT=str(directory / "out"), FOUNDRY_CACHE_PATH=str(directory / "cache"))
    before = Path.cwd()
    os.chdir(CONTRACTS)
    try:
        analysed = Slither(".")
    finally:
        os.chdir(before)
        for name in ("FOUNDRY_OUT", "FOUNDRY_CACHE_PATH"):
            del os.environ[name]
    operators = [kind for kind in vars(all_mutators).values() if _is_operator(kind)]
    found = {}
    for unit in analysed.compilation_units:
        for contract in unit.contracts:
            if contract.name not in MUTATED:
                continue
            for operator in operators:
                made = operator(unit, 0, "", "", contract, None, False, directory, [], rate=100)
                try:
                    changes = made._mutate()
                except SlitherException as error:  # slither-mutate goes on without this operator as well
                    print(f"{operator.NAME} cannot mutate {contract.name}: {error}", file=sys.stderr)
                    continue
                for file, ranges in changes.get("patches", {}).items():
                    for change in ranges:
                        key = (file, change["start"], change["end"], change["new_string"])
                        found[key] = (operator.NAME, file, change)
    return [found[key] for key in sorted(found)]


def _is_operator(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, AbstractMutator) and kind is not AbstractMutator


if __name__ == "__main__":
    sys.exit(main())
