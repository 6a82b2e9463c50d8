"""How the forge tests run: on contracts that were compiled elsewhere.

The IR pipeline takes minutes for contracts and tests together. forge's profile `test` compiles the tests in seconds, in
such a way that they deploy contracts from the artefacts of its output directory. Whoever puts code into those decides
what is tested: `tools/contracts.py test` the committed code, `tools/contracts.py mutants` a broken one.
"""

import json
from pathlib import Path

PROFILE = "test"
OUTPUT = Path("out") / "test"


def artefact_path(root: Path, name: str) -> Path:
    """Where the tests of the Foundry project `root` find the contract `name`."""
    return root / OUTPUT / f"{name}.sol" / f"{name}.json"


def code_put(path: Path, code: str) -> None:
    """Let the artefact at `path` deploy the creation code `code`, `0x` hex."""
    artefact = json.loads(path.read_text(encoding="utf-8"))
    artefact["bytecode"]["object"] = code
    path.write_text(json.dumps(artefact), encoding="utf-8")
