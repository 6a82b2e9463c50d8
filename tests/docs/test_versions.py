"""The changelog names the version; everything else repeats it."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def newest_version() -> str:
    heading = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    return heading[1]


@pytest.mark.parametrize("path", ["pyproject.toml", "sdk/pyproject.toml"])
def test_package_has_the_version_of_the_changelog(path):
    assert tomllib.loads((ROOT / path).read_text())["project"]["version"] == newest_version()
