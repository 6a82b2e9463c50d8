"""The contracts' interfaces: calls, results, events and errors, encoded and decoded by their ABI.

Artefacts are the committed files in `chain/contracts/abi`, written by forge and checked for freshness in `make check`.
Decoded values are `int`, `bool`, `str`, checksummed addresses, `0x` hex for bytes, lists, and dicts for structs.
"""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.exceptions import EncodingError as AbiEncodingError
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.errors import EncodingError, UnknownContract
from chain.event_codec import Codec, Word, WordError, codec_of, word_reader

AbiItem: TypeAlias = dict[str, Any]

ARTEFACTS_DIR = Path(__file__).resolve().parent / "contracts" / "abi"
# In the order of their deployment.
CONTRACTS = ("ModelRegistry", "LicenceMarket", "ReceiptAnchor", "TestUSD")
# Their events are indexed. A payment token is somebody else's contract and its events prove nothing here.
INDEXED_CONTRACTS = ("ModelRegistry", "LicenceMarket")

# Token libraries name these arguments as they like. Handlers get the standards' words (EIP-721, EIP-4906).
_STANDARD_NAMES = {
    "Transfer(address,address,uint256)": ("from", "to", "tokenId"),
    "Approval(address,address,uint256)": ("owner", "approved", "tokenId"),
    "ApprovalForAll(address,address,bool)": ("owner", "operator", "approved"),
    "MetadataUpdate(uint256)": ("tokenId",),
    "BatchMetadataUpdate(uint256,uint256)": ("fromTokenId", "toTokenId"),
}


class LogUndecodableError(ValueError):
    """A log does not have the form that the ABI promises."""


@dataclass(frozen=True, slots=True)
class EventType:
    name: str
    indexed: tuple[AbiItem, ...]
    plain: tuple[AbiItem, ...]
    # Argument names in the order of the declaration.
    order: tuple[str, ...]
    # Reads the arguments that are not indexed; `None` where one has no fixed size.
    codec: Codec | None
    # Reads each indexed argument from its topic; `None` for a type whose topic is a hash.
    topic_words: tuple[Word | None, ...]


@dataclass(frozen=True)
class Artefact:
    """One compiled contract."""

    name: str
    abi: list[AbiItem]
    bytecode: str
    functions: dict[str, AbiItem] = field(repr=False)
    events: dict[str, EventType] = field(repr=False)
    errors: dict[str, AbiItem] = field(repr=False)

    @property
    def constructor(self) -> list[AbiItem]:
        """The constructor's inputs, in order."""
        return next((list(item["inputs"]) for item in self.abi if item["type"] == "constructor"), [])

    @property
    def creation_hash(self) -> str:
        return "0x" + keccak(hexstr=self.bytecode).hex()


@lru_cache
def artefact(name: str) -> Artefact:
    """Raises `UnknownContract` where the project has no such contract or its artefact is not built."""
    path = ARTEFACTS_DIR / f"{name}.json"
    if name not in CONTRACTS or not path.is_file():
        raise UnknownContract(
            f"There is no built contract named {name!r}; `make contracts` builds them.", contract=name
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    abi: list[AbiItem] = content["abi"]
    return Artefact(
        name=name,
        abi=abi,
        bytecode=content["bytecode"],
        functions={item["name"]: item for item in abi if item["type"] == "function"},
        events={_topic(item): _event_type(item) for item in abi if item["type"] == "event"},
        errors={selector(item): item for item in abi if item["type"] == "error"},
    )


def call_encode(contract: str, function: str, args: list[Any] | tuple[Any, ...]) -> str:
    """Calldata as `0x` hex. Raises `EncodingError` where the function or its arguments do not fit.

    Overloaded functions may be named with their types: `safeTransferFrom(address,address,uint256)`.
    """
    item = _function(contract, function)
    return selector(item) + arguments_encode(item["inputs"], args).hex()


def result_decode(contract: str, function: str, data: bytes) -> tuple[Any, ...]:
    """The values that a function returned. Raises `EncodingError` where the data are not of its return types."""
    outputs = _function(contract, function)["outputs"]
    reason: Exception | None = None
    words = [_static_words(item) for item in outputs]
    if None in words or len(data) == 32 * sum(count or 0 for count in words):
        try:
            return tuple(values_decode(outputs, data))
        except (DecodingError, ValueError, OverflowError) as error:
            reason = error
    message = f"{contract}.{function} answered {len(data)} bytes that its interface does not describe."
    raise EncodingError(message, contract=contract, function=function) from reason


def event_decode(contract: str, topics: tuple[str, ...], data: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a log. Raises `LogUndecodableError` with the reason."""
    event = artefact(contract).events.get(topics[0] if topics else "")
    if event is None:
        raise LogUndecodableError("no event of the interface has this topic")
    if len(topics) != len(event.indexed) + 1:
        raise LogUndecodableError(f"{event.name} has {len(event.indexed)} indexed arguments, the log {len(topics) - 1}")
    try:
        # The topic of a type without a fixed size is its hash, which cannot be decoded.
        values = {
            item["name"]: topic if read is None else read(topic[2:])
            for item, read, topic in zip(event.indexed, event.topic_words, topics[1:], strict=True)
        }
        values |= _plain_values(event, data)
    except WordError as error:
        raise LogUndecodableError(f"{event.name}: {error}") from error
    except (DecodingError, ValueError, OverflowError) as error:
        raise LogUndecodableError(f"{event.name}: {type(error).__name__}") from error
    return event.name, {name: values[name] for name in event.order}


def _plain_values(event: EventType, data: str) -> dict[str, Any]:
    if event.codec is not None:
        return event.codec.read(data[2:])
    values = values_decode(event.plain, bytes.fromhex(data[2:]))
    return dict(zip((item["name"] for item in event.plain), values, strict=True))


def event_topic(contract: str, name: str) -> str:
    """The first topic of an event's logs. Raises `EncodingError`."""
    for topic, event in artefact(contract).events.items():
        if event.name == name:
            return topic
    raise EncodingError(f"{contract} has no event {name!r}.", contract=contract, event=name)


def arguments_encode(inputs: list[AbiItem], args: list[Any] | tuple[Any, ...]) -> bytes:
    """ABI-encode `args`. A struct is a tuple, a dict by component name, or one of `chain.bindings.structs`.

    Raises `EncodingError`.
    """
    if len(args) != len(inputs):
        raise EncodingError(f"Expected {len(inputs)} arguments, got {len(args)}.")
    try:
        values = [_to_abi(item, value) for item, value in zip(inputs, args, strict=True)]
        return encode([collapse_if_tuple(item) for item in inputs], values)
    except (AbiEncodingError, KeyError, TypeError, ValueError) as error:
        raise EncodingError(f"The arguments do not fit their types: {error}") from error


def values_decode(items: tuple[AbiItem, ...] | list[AbiItem], data: bytes) -> list[Any]:
    """Raises `eth_abi`'s `DecodingError`."""
    values = decode([collapse_if_tuple(item) for item in items], data)
    return [_from_abi(item, value) for item, value in zip(items, values, strict=True)]


@lru_cache(maxsize=4096)
def checksum(address: str) -> str:
    return str(to_checksum_address(address))


def _to_abi(item: AbiItem, value: Any) -> Any:
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_to_abi(inner, part) for part in value]
    if kind == "tuple":
        return tuple(_to_abi(part, inner) for part, inner in zip(item["components"], _parts(item, value), strict=True))
    if kind.startswith("bytes") and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def _parts(item: AbiItem, value: Any) -> Any:
    if isinstance(value, dict):
        return [value[part["name"]] for part in item["components"]]
    if is_dataclass(value):
        return [getattr(value, part.name) for part in fields(value)]
    return value


def _from_abi(item: AbiItem, value: Any) -> Any:
    kind: str = item["type"]
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_from_abi(inner, part) for part in value]
    if kind == "tuple":
        return {part["name"]: _from_abi(part, inner) for part, inner in zip(item["components"], value, strict=True)}
    if kind == "address":
        return checksum(value)
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _function(contract: str, function: str) -> AbiItem:
    known = artefact(contract)
    if "(" in function:
        match = next((item for item in known.abi if item["type"] == "function" and _signature(item) == function), None)
    else:
        match = known.functions.get(function)
    if match is None:
        raise EncodingError(f"{contract} has no function {function!r}.", contract=contract, function=function)
    return match


def _event_type(item: AbiItem) -> EventType:
    own = tuple(part["name"] for part in item["inputs"])
    # ERC-20's Transfer and Approval have the same types, and an amount that is not indexed in the place of the token.
    is_amount = item["name"] in {"Transfer", "Approval"} and not item["inputs"][-1]["indexed"]
    names = own if is_amount else _STANDARD_NAMES.get(_signature(item), own)
    inputs = [
        {**part, "name": name or f"arg{n}"} for n, (part, name) in enumerate(zip(item["inputs"], names, strict=True))
    ]
    indexed = tuple(part for part in inputs if part["indexed"])
    plain = tuple(part for part in inputs if not part["indexed"])
    return EventType(
        name=item["name"],
        indexed=indexed,
        plain=plain,
        order=tuple(part["name"] for part in inputs),
        codec=codec_of(plain),
        topic_words=tuple(None if _is_dynamic(part) else word_reader(part["type"]) for part in indexed),
    )


def _is_dynamic(item: AbiItem) -> bool:
    kind: str = item["type"]
    return kind in {"string", "bytes", "tuple"} or kind.endswith("]")


def _static_words(item: AbiItem) -> int | None:
    """How many 32-byte words a value fills; `None` where that depends on the value."""
    if item["type"] != "tuple":
        return None if _is_dynamic(item) else 1
    parts = [_static_words(part) for part in item["components"]]
    return None if None in parts else sum(count or 0 for count in parts)


def _signature(item: AbiItem) -> str:
    return f"{item['name']}({','.join(collapse_if_tuple(part) for part in item['inputs'])})"


def _topic(item: AbiItem) -> str:
    return "0x" + keccak(text=_signature(item)).hex()


def selector(item: AbiItem) -> str:
    """The first four bytes of calldata or revert data, as hex."""
    return _topic(item)[:10]
