"""Fault points, for tests that kill a process at a known place. Refused outside demo mode (chain.E004)."""

from pathlib import Path

from marketplace.settings.base import VAR_DIR
from marketplace.settings.env import env

# Names from `fault_point(...)` calls, each `name` or `name:n` for the n-th pass. See weighhouse.core.faults.
FAULTS = env.list("FAULTS", [])
FAULTS_DIR = Path(env.str("FAULTS_DIR", str(VAR_DIR / "faults")))
