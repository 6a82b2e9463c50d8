"""A node of the chain, asked by plain JSON-RPC: no library of the chain's, no ABI files."""

import itertools
import json
import re
from typing import Any

import requests

from weighhouse.core.eip712 import keccak256
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.signatures import checksum

_TIMEOUT_S = 20.0
_MAX_BYTES = 1 << 20
_RETURNED = re.compile(r"(?:Reverted )?0x(?:[0-9a-fA-F]{2})*")
ZERO_ADDRESS = "0x" + "00" * 20


class NodeError(WeighhouseError):
    """The node does not answer, or not as a node does. Its address is not repeated: it may hold a key."""

    code = "node.unavailable"
    retryable = True


class NodeHistoryError(NodeError):
    """The node does not tell what a contract said at an older block. Another one may."""

    code = "node.history"
    retryable = False


class NodeRefused(WeighhouseError):
    """The contract refused the call. That is an answer about the contract, unlike any trouble of the node's."""

    code = "node.refused"


class _NodeAnswerError(NodeError):
    """The node answers, with an error of its own."""


class ChainReader:
    """Reads of one node. Not thread-safe. Raises NodeError, and NodeRefused where a contract reverts."""

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
        """The hash of the canonical block at this height; `None` where there is none."""
        block = self._block(hex(number))
        return None if block is None else str(block.get("hash"))

    def block_at(self, timestamp: int, *, after: int) -> int:
        """The last block of this time or an earlier one, found by halving; `after` is a block that is not later."""
        low, high = after, _number((self._block("latest") or {}).get("number"))
        while low < high:
            middle = (low + high + 1) // 2
            block = self._block(hex(middle))
            if block is None:
                raise NodeHistoryError(f"The node has no block {middle}: name an archive node, which keeps old blocks.")
            if _number(block.get("timestamp")) <= timestamp:
                low = middle
            else:
                high = middle - 1
        return low

    def _block(self, name: str) -> dict[str, Any] | None:
        block = self._ask("eth_getBlockByNumber", [name, False])
        return block if isinstance(block, dict) else None

    def words(self, to: str, signature: str, arguments: list[bytes], *, block: int | None = None) -> list[bytes]:
        """Call a view, now or at a block. `arguments` are 32-byte words, already laid out; the answer as words.

        Raises NodeHistoryError where a node that does answer has no state of that block.
        """
        data = keccak256(signature.encode())[:4] + b"".join(arguments)
        call = {"to": to, "data": "0x" + data.hex()}
        try:
            answer = self._ask("eth_call", [call, "latest" if block is None else hex(block)])
        except _NodeAnswerError as error:
            if block is None:
                raise
            message = f"{error.message} It was about block {block}: name an archive node, which keeps old states."
            raise NodeHistoryError(message) from None
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
        refusal = answer.get("error")
        if refusal is None:
            return answer.get("result")
        if method == "eth_call" and _is_revert(refusal):
            raise NodeRefused("The contract refuses the call.")
        code = refusal.get("code") if isinstance(refusal, dict) else None
        raise _NodeAnswerError(f"The node answers {method} with an error{f' ({code})' if type(code) is int else ''}.")


def word(value: int | str) -> bytes:
    """An integer, an address or a word as 32 bytes."""
    return value.to_bytes(32) if isinstance(value, int) else bytes.fromhex(value[2:]).rjust(32, b"\0")


def address_of(content: bytes) -> str:
    return checksum(content[12:])


def _is_revert(error: Any) -> bool:
    """Whether an error object says that the contract reverted. Nodes agree on no one form of that.

    Code 3 (Geth and those that follow it), the words alone (Besu, older ones), or what the contract returned as data
    (Nethermind, after the word "Reverted"). Data of other errors, as a provider's rate limit, is an object.
    """
    if not isinstance(error, dict):
        return False
    data, message = error.get("data"), error.get("message")
    says = "revert" in message.lower() if isinstance(message, str) else False
    return error.get("code") == 3 or says or (isinstance(data, str) and bool(_RETURNED.fullmatch(data)))


def _number(value: Any) -> int:
    try:
        return int(value, 16)
    except (TypeError, ValueError):
        raise NodeError("The node answered something else than a number.") from None
