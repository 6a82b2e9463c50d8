"""The committed bundle is what the sources give."""

import json
import re
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


def test_reasons_have_words_for_every_error_of_the_contracts():
    text = (ROOT / "static" / "src" / "lib" / "reasons.js").read_text()
    words = set(re.findall(r'^  (\w+):|"(\w+)"', text, re.MULTILINE))
    known = {name for pair in words for name in pair if name}
    artefacts = sorted((ROOT / "chain" / "contracts" / "abi").glob("*.json"))
    errors = {
        item["name"] for path in artefacts for item in json.loads(path.read_text())["abi"] if item["type"] == "error"
    }
    assert len(errors) > 50
    assert errors - known == set()
