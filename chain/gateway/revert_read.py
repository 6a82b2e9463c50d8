"""Revert data read: the class of the custom error, or what little can be said of a stranger's."""

from functools import lru_cache
from typing import Any

from eth_abi.exceptions import DecodingError

from chain import abi
from chain.gateway import reverts, reverts_standard
from chain.gateway.errors import ContractRefusal, Panicked, Reverted, RevertedSilently, RevertedUnread, RevertedWithText

_TEXT: abi.AbiItem = {"name": "Error", "inputs": [{"name": "message", "type": "string"}]}
_PANIC: abi.AbiItem = {"name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]}


def revert_read(data: bytes) -> Reverted:
    """The named form of what a contract reverted with. Never fails: the bytes are a stranger's."""
    if not data:
        return RevertedSilently()
    for item in _declared().get("0x" + data[:4].hex(), ()):
        try:
            values = abi.values_decode(item["inputs"], data[4:])
        except (DecodingError, ValueError, OverflowError):
            continue
        return _named(item, values)
    return RevertedUnread(data)


@lru_cache
def refusal_classes() -> dict[str, type[ContractRefusal]]:
    """Every class of a custom error, by the error's name."""
    return {
        kind.__name__: kind
        for module in (reverts, reverts_standard)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ContractRefusal) and kind is not ContractRefusal
    }


def _named(item: abi.AbiItem, values: list[Any]) -> Reverted:
    if item is _TEXT:
        return RevertedWithText(values[0])
    if item is _PANIC:
        return Panicked(values[0])
    names = [part["name"] for part in item["inputs"]]
    return refusal_classes()[item["name"]](dict(zip(names, values, strict=True)))


@lru_cache
def _declared() -> dict[str, list[abi.AbiItem]]:
    """The errors of the contracts' interfaces by their selectors."""
    table: dict[str, list[abi.AbiItem]] = {}
    for item in (_TEXT, _PANIC):
        table.setdefault(abi.selector(item), []).append(item)
    for name in abi.CONTRACTS:
        if (abi.ARTEFACTS_DIR / f"{name}.json").is_file():
            for known, item in abi.artefact(name).errors.items():
                if item not in table.setdefault(known, []):
                    table[known].append(item)
    return table
