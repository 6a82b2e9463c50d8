"""Copies of good releases, to be spoilt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file

from tests.fixtures.weights import readable


def copied(release: Path, directory: Path) -> Path:
    return readable(Path(shutil.copytree(release, directory / "release")))


def change_config(release: Path, **changes: Any) -> None:
    path = release / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(release: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = release / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    readable(release)
