"""Which named error a node's JSON-RPC error is.

Vendors agree on neither codes nor words: -32005 is a rate limit for one and too many logs for another. So the words
decide first. The patterns are written from messages seen at public endpoints of the named vendors; the tests hold them.
"""

import re
from typing import Any

from chain.abi import error_decode
from chain.gateway.errors import ChainError, NodeBehind, NodeUnavailable, RangeTooLarge, RateLimited, Reverted, RpcError

_RANGE = re.compile(
    r"range (is )?too (large|wide|big)|too large a range|range limit|max(imum)? (block )?range|max range|blocks? range"
    r" (limit )?exceed|exceeds? .{0,20}(max(imum)? )?(block )?range|range greater than|limited to( a)? [\d,.]+|(block range"
    r" is|at most|up to a?|more than) [\d,.]+ ?k? (block|results|logs)|returned more than|exceeds? max (results|block range)"
    r"|exceeds? limit of \d+|too many blocks|number of requested blocks|blocks distance|must be smaller than size"
    r"|range allowed for your plan|response (size )?(is )?(too (large|big)|exceeded|should not)|response size"
    r"|log response size|query timeout|exceeds? the range|block range should work|try with this block range",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"rate.?limit|too many requests|request(s)? limit|request rate|per second|compute units|capacity|throttl"
    r"|daily request count|quota|call rate|exceeded .{0,30}(limit|allowance)|slow down",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"(header|block)( number| hash)?( with .{0,80})? ?(is )?not (be )?found|unknown (block|header)|(block|filter).{0,60}cannot be"
    r" found|after last accepted block|requested block .{0,40}(future|not available|out of range)|block ?out ?of ?range|beyond"
    r" (the )?(head|current|latest)|block height is \d+ but|not canonical|resource not found|hash .{0,80}not currently canonical",
    re.IGNORECASE,
)
_REVERT = re.compile(r"revert|VM Exception|VM execution error|invalid opcode|out of gas", re.IGNORECASE)
_UNHEALTHY = re.compile(
    r"no backend|no healthy|unavailable|internal error|timed? ?out|try again|upstream|bad gateway|still syncing|overloaded",
    re.IGNORECASE,
)
_RETRY_IN = re.compile(r"(?:retry|try again|wait).{0,12}?(\d+(?:\.\d+)?) ?(ms|s\b|sec|min|m\b)", re.IGNORECASE)
_ADDRESS_OF_NODE = re.compile(r"\b(?:https?|wss?)://\S+", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-fA-F]*")
_RATE_CODES = frozenset({429, -32029, -32090, -32097, -32016})
_MESSAGE_LIMIT = 300
RETRY_AFTER_MAX_S = 300.0


def error_name(error: Any, *, method: str) -> ChainError:
    """The named error for the `error` member of a JSON-RPC answer to `method`."""
    if not isinstance(error, dict):
        return NodeUnavailable("The node answered an error without a form.")
    code = error.get("code") if isinstance(error.get("code"), int) else None
    message = message_clean(error.get("message"))
    data = revert_data(error.get("data"))
    if data is not None or (method in {"eth_call", "eth_estimateGas"} and (code == 3 or _REVERT.search(message))):
        return reverted(data or b"", message)
    return _by_words(code, message, method)


def reverted(data: bytes, message: str = "") -> Reverted:
    """The named form of revert data. Data that no contract of ours declares are kept as hex."""
    if not data:
        return Reverted("Unknown", {}, message=f"The contract refused the call without a reason. {message}".strip())
    name, args = error_decode(data)
    if name == "Error":
        return Reverted(name, args, message=f"The contract refused the call: {message_clean(args['message'])}")
    return Reverted(name, args)


def revert_data(data: Any) -> bytes | None:
    """The bytes that a contract reverted with, wherever the node put them; `None` where there are none."""
    if isinstance(data, dict):
        inner = data.get("data", data.get("result"))
        return revert_data(inner) if isinstance(inner, str) else None
    if not isinstance(data, str):
        return None
    # Geth, anvil and Besu give the hex alone; Nethermind and old Parity write `Reverted 0x...`.
    if not data.startswith(("0x", "Reverted", "revert")):
        return None
    match = _HEX.search(data)
    if match is None or len(match.group()) % 2 or len(match.group()) == 2:
        return None
    return bytes.fromhex(match.group()[2:])


def message_clean(message: Any) -> str:
    """A node's words, cut short, without line breaks and without any URL: those may carry a key."""
    text = " ".join(str(message or "").split())
    text = _ADDRESS_OF_NODE.sub("<url>", text)
    return "".join(char for char in text if char.isprintable())[:_MESSAGE_LIMIT]


def retry_after(words: str) -> float:
    """Seconds that the node asks for in words, at least a second, at most five minutes."""
    match = _RETRY_IN.search(words)
    if match is None:
        return 1.0
    factor = {"ms": 0.001, "m": 60.0, "min": 60.0}.get(match.group(2).lower(), 1.0)
    return min(max(float(match.group(1)) * factor, 1.0), RETRY_AFTER_MAX_S)


def _by_words(code: int | None, message: str, method: str) -> ChainError:
    if code in _RATE_CODES:
        return RateLimited(f"The node limits requests: {message}", retry_after=retry_after(message))
    if method == "eth_getLogs" and _RANGE.search(message):
        return RangeTooLarge(f"The node refuses so many blocks or logs at once: {message}")
    if _BEHIND.search(message):
        return NodeBehind(f"The node does not have that block: {message}")
    if _RATE.search(message):
        return RateLimited(f"The node limits requests: {message}", retry_after=retry_after(message))
    if code == -32005 and method == "eth_getLogs":
        # EIP-1474's "limit exceeded" without further words. Asking for less is the only thing that can help.
        return RangeTooLarge(f"The node refuses so many blocks or logs at once: {message}")
    if code == -32005:
        return RateLimited(f"The node limits requests: {message}")
    if code == -32603 or _UNHEALTHY.search(message):
        return NodeUnavailable(f"The node failed: {message}")
    return RpcError(f"The node refused {method}: {message}", rpc_code=code)
