"""Which named error a node's JSON-RPC error is.

Vendors agree on neither codes nor words: -32005 is a rate limit for one and too many logs for another. So the words
decide first. The patterns are written from messages seen at public endpoints of the named vendors; the tests hold them.
"""

import re
from typing import Any

from chain.gateway.errors import (
    ChainError,
    NodeBehind,
    NodeUnavailable,
    RangeTooLarge,
    RateLimited,
    RevertedSilently,
    RpcError,
    text_clean,
)
from chain.gateway.revert_read import revert_read


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_RANGE = _any_of(
    r"range (is )?too (large|wide|big)",  # Ankr, Base, Cloudflare, Optimism, Merkle
    r"max(imum)? (block )?range|max range",  # BNB Chain, PublicNode, Cloudflare, reth
    r"range limit|range exceeds?|exceeds? .{0,20}range|range greater than",  # Besu, Chainstack, Somnia, Swell, Blast
    r"limited to( a)? [\d,.]+|up to a [\d,.]+k? block|at most [\d,.]+ blocks",  # QuickNode, BlockPI, Alchemy, Coinbase
    r"returned more than|exceeds? max results|exceeds? limit of \d+",  # Infura, zkSync, LlamaNodes, Arbitrum
    r"too many blocks|number of requested blocks|blocks distance",  # Avalanche, thirdweb, Ankr
    r"must be smaller than size|block range should work|try with this block range",  # Harmony, Alchemy, Infura
    r"response (is )?too (large|big)|response size|query timeout",  # Optimism, 1RPC, Alchemy, Polygon
)
_RATE = _any_of(
    r"rate.?limit|too many requests|requests? limit|request rate|per second",  # Infura, QuickNode, dRPC
    r"compute units|capacity|throttl|quota|daily request count",  # Alchemy, Chainstack
    r"call rate|exceeded .{0,30}(limit|allowance)|slow down",  # Polygon, Pocket
)
_BEHIND = _any_of(
    r"(header|block)( number| hash)? not (be )?found|header for hash not found",  # geth, Erigon
    r"unknown (block|header)|resource not found",  # Besu, anvil
    r"(block|filter).{0,80}cannot be found",  # Nethermind
    r"after last accepted block|beyond (the )?(head|current|latest)",  # Avalanche, Erigon
    r"block ?out ?of ?range|block height is \d+ but",  # anvil
    r"not currently canonical|not canonical",  # geth, EIP-1898
)
_REVERT = _any_of(r"revert", r"VM Exception|VM execution error", r"invalid opcode|out of gas")
_UNHEALTHY = _any_of(
    r"no backend|no healthy|unavailable|internal error|upstream|bad gateway",
    r"timed? ?out|try again|still syncing|overloaded",
)
_RETRY_IN = re.compile(r"(?:retry|try again|wait).{0,12}?(\d+(?:\.\d+)?) ?(ms|s\b|sec|min|m\b)", re.IGNORECASE)
_HEX = re.compile(r"0x[0-9a-fA-F]*")
_RATE_CODES = frozenset({429, -32029, -32090, -32097, -32016})
# A contract chooses what it reverts with. Longer reasons are cut, and then are no reason that the ABI knows.
_REVERT_DATA_LIMIT = 16 * 1024
RETRY_AFTER_MAX_S = 300.0


def error_name(error: Any, *, method: str) -> ChainError:
    """The named error for the `error` member of a JSON-RPC answer to `method`."""
    if not isinstance(error, dict):
        return NodeUnavailable("The node answered an error without a form.")
    code = error.get("code") if isinstance(error.get("code"), int) else None
    message = text_clean(error.get("message"))
    data = revert_data(error.get("data"))
    if data is not None or (method in {"eth_call", "eth_estimateGas"} and (code == 3 or _REVERT.search(message))):
        reverted = revert_read(data) if data else RevertedSilently(message)
        reverted.revert_data = data or b""
        return reverted
    return _by_words(code, message, method)


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
    return bytes.fromhex(match.group()[2 : 2 + 2 * _REVERT_DATA_LIMIT])


def retry_after(words: str) -> float:
    """Seconds that the node asks for in words, at least a second, at most five minutes."""
    match = _RETRY_IN.search(words)
    if match is None:
        return 1.0
    factor = {"ms": 0.001, "m": 60.0, "min": 60.0}.get(match.group(2).lower(), 1.0)
    return min(max(float(match.group(1)) * factor, 1.0), RETRY_AFTER_MAX_S)


def _by_words(code: int | None, message: str, method: str) -> ChainError:
    named = _kind(code, message, method)
    if named is RangeTooLarge:
        return RangeTooLarge(f"The node refuses so many blocks or logs at once: {message}")
    if named is RateLimited:
        return RateLimited(f"The node limits requests: {message}", retry_after=retry_after(message))
    if named is NodeBehind:
        return NodeBehind(f"The node does not have that block: {message}")
    if named is NodeUnavailable:
        return NodeUnavailable(f"The node failed: {message}")
    return RpcError(f"The node refused {method}: {message}", rpc_code=code)


def _kind(code: int | None, message: str, method: str) -> type[ChainError]:
    in_logs = method == "eth_getLogs"
    table: tuple[tuple[bool, type[ChainError]], ...] = (
        (code in _RATE_CODES, RateLimited),
        (in_logs and bool(_RANGE.search(message)), RangeTooLarge),
        (bool(_BEHIND.search(message)), NodeBehind),
        (bool(_RATE.search(message)), RateLimited),
        # EIP-1474's "limit exceeded" without further words: for logs, asking for less is all that can help.
        (code == -32005, RangeTooLarge if in_logs else RateLimited),
        (code == -32603 or bool(_UNHEALTHY.search(message)), NodeUnavailable),
    )
    return next((kind for holds, kind in table if holds), RpcError)
