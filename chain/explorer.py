"""What a block explorer asks for before it shows a contract's source beside its address."""

import json
from collections.abc import Iterator
from typing import Any

from chain.abi import ARTEFACTS_DIR
from chain.address_book import AddressBook

# `tools/solc --version`, without the form in which the compiler was packed.
COMPILER_VERSION = "v0.8.37+commit.f401782d"
# The request that the compiler was given, committed and freshness-checked by `tools/contracts.py`.
COMPILER_INPUT = ARTEFACTS_DIR.parent / "verify" / "standard-json-input.json"


def verification_lines(book: AddressBook) -> Iterator[str]:
    """Address, contract, compiler, settings and constructor arguments of each contract, for people to copy."""
    yield "To verify on an explorer, choose Solidity (Standard-Json-Input) and upload"
    yield f"  chain/contracts/verify/{COMPILER_INPUT.name}"
    yield f"  compiler {COMPILER_VERSION}, {_settings_text()}, licence Apache-2.0"
    for name, entry in book.contracts.items():
        yield f"{name} at {entry.address}"
        yield f"  contract src/{name}.sol:{name}"
        # Explorers take them without the prefix.
        yield f"  constructor arguments {entry.constructor_arguments.removeprefix('0x') or '(none)'}"


def _settings_text() -> str:
    settings: dict[str, Any] = json.loads(COMPILER_INPUT.read_text(encoding="utf-8"))["settings"]
    optimizer = settings["optimizer"]
    runs = f"optimizer {optimizer['runs']} runs" if optimizer["enabled"] else "no optimizer"
    via_ir = ", via IR" if settings.get("viaIR") else ""
    return f"{runs}{via_ir}, EVM {settings['evmVersion']}, no metadata hash"
