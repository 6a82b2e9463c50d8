"""The committed bundle is what the sources give."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_bundle_is_fresh():
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules").is_dir():
        pytest.skip("NODE IS MISSING: the bundle cannot be compared with its sources")
    done = subprocess.run([node, "tools/frontend.mjs", "check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
