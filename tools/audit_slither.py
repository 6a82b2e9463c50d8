"""slither over the contracts: no finding of high or medium impact that docs/audit.md does not explain.

An explanation is a row of a table that begins with the id of the finding (its first 16 characters). The ids cover what
slither says, line numbers excluded. An explanation whose finding is gone is an error too.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = ROOT / "chain" / "contracts"
EXPLAINED = re.compile(r"^\| `([0-9a-f]{16})` \|", re.MULTILINE)


def main() -> int:
    findings = {finding["id"][:16]: finding for finding in slither_run() if finding["impact"] in ("High", "Medium")}
    explained = set(EXPLAINED.findall((ROOT / "docs" / "audit.md").read_text(encoding="utf-8")))
    unexplained = [finding for key, finding in findings.items() if key not in explained]
    stale = sorted(explained - findings.keys())
    for finding in unexplained:
        print(f"{finding['id'][:16]} {finding['impact']} {finding['check']}: {finding['description']}")
    for key in stale:
        print(f"{key} is explained in docs/audit.md and no longer found")
    print(f"slither: {len(findings)} of high or medium impact, {len(unexplained)} unexplained, {len(stale)} stale")
    return 1 if unexplained or stale else 0


def slither_run() -> list[dict[str, Any]]:
    """Everything that slither finds in our own sources. Raises RuntimeError where it did not run to the end."""
    with tempfile.TemporaryDirectory(prefix="weighhouse-slither-") as directory:
        report = Path(directory) / "report.json"
        # forge compiles there, so that its usual folders stay as they are.
        built = {"FOUNDRY_OUT": f"{directory}/out", "FOUNDRY_CACHE_PATH": f"{directory}/cache"}
        done = subprocess.run(
            ["slither", ".", "--config-file", str(ROOT / "slither.config.json"), "--json", str(report)],
            cwd=CONTRACTS,
            env={**os.environ, **built},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"slither did not run:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        result = json.loads(report.read_text(encoding="utf-8"))
    if not result["success"]:
        raise RuntimeError(f"slither failed: {result['error']}")
    findings: list[dict[str, Any]] = result["results"].get("detectors", [])
    return findings


if __name__ == "__main__":
    sys.exit(main())
