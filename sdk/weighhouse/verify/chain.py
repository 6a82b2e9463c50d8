"""A node of the chain, asked by plain JSON-RPC: no library of the chain's, no ABI files."""

import itertools
import json
from typing import Any

import requests

from weighhouse.core.eip712 import keccak256
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.signatures import checksum

_TIMEOUT_S = 20.0
_MAX_BYTES = 1 << 20
ZERO_ADDRESS = "0x" + "00" * 20


class NodeError(WeighhouseError):
    """The node does not answer, or not as a node does. Its address is not repeated: it may hold a key."""

    code = "node.unavailable"
    retryable = True


class NodeRefused(WeighhouseError):
    """The node answered with an error: the contract refused, or it does not have so old a state."""

    code = "node.refused"


class ChainReader:
    """Reads of one node. Not thread-safe. Raises NodeError, and NodeRefused where the node answers an error."""

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._session = requests.Session()
        self._ids = itertools.count(1)

    def __enter__(self) -> "ChainReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def chain_id(self) -> int:
        return _number(self._ask("eth_chainId", []))

    def block_hash(self, number: int) -> str | None:
        """The hash of the canonical block at this height; `None` where the node has none."""
        block = self._ask("eth_getBlockByNumber", [hex(number), False])
        return str(block.get("hash")) if isinstance(block, dict) else None

    def words(self, to: str, signature: str, arguments: list[bytes], *, block: str = "latest") -> list[bytes]:
        """Call a view. `arguments` are 32-byte words, already laid out; the answer as words."""
        data = keccak256(signature.encode())[:4] + b"".join(arguments)
        answer = self._ask("eth_call", [{"to": to, "data": "0x" + data.hex()}, block])
        if not isinstance(answer, str) or len(answer) % 64 != 2:
            raise NodeError(f"The node's answer to {signature} is not made of words.")
        try:
            content = bytes.fromhex(answer[2:])
        except ValueError:
            raise NodeError(f"The node's answer to {signature} is not hex.") from None
        return [content[place : place + 32] for place in range(0, len(content), 32)]

    def _ask(self, method: str, params: list[Any]) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            with self._session.post(
                self._url, json=body, timeout=self._timeout_s, stream=True, allow_redirects=False
            ) as response:
                content = response.raw.read(_MAX_BYTES + 1, decode_content=True)
                if len(content) > _MAX_BYTES:
                    raise NodeError(f"The node answered {method} with more than {_MAX_BYTES} bytes.")
                answer = json.loads(content)
        except (requests.RequestException, OSError, ValueError) as error:
            raise NodeError(f"The node does not answer {method} ({type(error).__name__}).") from None
        if not isinstance(answer, dict) or answer.get("id") != body["id"]:
            raise NodeError(f"The node's answer to {method} is none.")
        if answer.get("error") is not None:
            raise NodeRefused(f"The node refuses {method}.")
        return answer.get("result")


def word(value: int | str) -> bytes:
    """An integer, an address or a word as 32 bytes."""
    return value.to_bytes(32) if isinstance(value, int) else bytes.fromhex(value[2:]).rjust(32, b"\0")


def address_of(content: bytes) -> str:
    return checksum(content[12:])


def _number(value: Any) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise NodeError("The node answered something else than a number.") from None
