"""halmos over chain/contracts/test/halmos: every claim there is proven, and every false claim is refuted.

A timeout, an unknown answer and a claim without a path to its end count as failures, and so does a claim that halmos
did not report at all.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "chain" / "contracts"
CLAIMS = CONTRACTS / "test" / "halmos"
CLAIM = re.compile(r"^ *function (check_\w+)\(", re.MULTILINE)
PROVEN, REFUTED = 0, 1  # exit codes of halmos, for one claim
CVC5 = f"{sys.executable} {ROOT / 'tools' / 'audit_cvc5.py'}"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="weighhouse-halmos-") as directory:
        wrong = claims_check(Path(directory), "Proofs", PROVEN, ["--solver-command", CVC5])
        # Without a counterexample that the solver shows, a claim counts as not refuted; bits are quicker for these.
        wrong += claims_check(Path(directory), "RefutedClaims", REFUTED, ["--solver", "yices"])
    for line in wrong:
        print(line)
    return 1 if wrong else 0


def claims_check(directory: Path, contracts: str, wanted: int, solver: list[str]) -> list[str]:
    """Sentences about claims of the contracts whose names end so and whose outcome is not `wanted`."""
    files = sorted(CLAIMS.glob(f"*{contracts}.sol"))
    claims = {name for file in files for name in CLAIM.findall(file.read_text(encoding="utf-8"))}
    outcomes = halmos_run(directory, contracts, solver)
    wrong = [f"{claim}: halmos said nothing" for claim in sorted(claims - outcomes.keys())]
    wrong += [f"{claim}: exit code {code}, not {wanted}" for claim, code in outcomes.items() if code != wanted]
    verb = "proven" if wanted == PROVEN else "refuted"
    print(f"halmos: {contracts}: {len(claims) - len(wrong)} of {len(claims)} {verb}")
    return wrong if claims else [f"{contracts}: no claims"]


def halmos_run(directory: Path, contracts: str, solver: list[str]) -> dict[str, int]:
    """Exit codes by name of claim. Compiles the claims and what they import, and nothing else."""
    report = directory / f"{contracts}.json"
    folder = str(CLAIMS.relative_to(CONTRACTS))
    built = os.path.relpath(directory / "out", CONTRACTS)
    settings = {
        "FOUNDRY_SRC": folder,
        "FOUNDRY_TEST": folder,
        "FOUNDRY_OUT": built,
        "FOUNDRY_CACHE_PATH": str(directory / "cache"),
    }
    command = ["halmos", "--root", ".", "--forge-build-out", built, "--match-contract", f"{contracts}$"]
    command += ["--solver-timeout-assertion", "60s", "--solver-threads", "2", "--json-output", str(report), *solver]
    done = subprocess.run(
        command, cwd=CONTRACTS, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    if not report.exists():
        raise RuntimeError(f"halmos did not run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    results = json.loads(report.read_text(encoding="utf-8"))["test_results"]
    return {result["name"].split("(")[0]: result["exitcode"] for tests in results.values() for result in tests}


if __name__ == "__main__":
    sys.exit(main())
