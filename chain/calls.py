"""What a transaction asks one of the contracts to do, read from its data."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth_abi.exceptions import DecodingError

from chain import abi


@dataclass(frozen=True, slots=True)
class ContractCall:
    """A function of a contract and its arguments by their names in the ABI."""

    function: str
    args: dict[str, Any]


def call_read(contract: str, data: bytes) -> ContractCall | None:
    """The call that `data` makes of `contract`; `None` where it is none that the ABI describes."""
    item = _functions(contract).get("0x" + data[:4].hex())
    if item is None:
        return None
    try:
        values = abi.values_decode(item["inputs"], data[4:])
    except (DecodingError, ValueError, OverflowError):
        return None
    return ContractCall(item["name"], dict(zip((part["name"] for part in item["inputs"]), values, strict=True)))


@lru_cache
def _functions(contract: str) -> dict[str, abi.AbiItem]:
    """The functions of a contract by their selectors, overloaded ones too."""
    return {abi.selector(item): item for item in abi.artefact(contract).abi if item["type"] == "function"}
