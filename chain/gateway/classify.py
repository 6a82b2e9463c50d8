"""Which named error a node's JSON-RPC error is.

Vendors agree on neither codes nor words: -32005 is a rate limit for one and too many logs for another. So the words
decide first. The patterns are written from messages seen at public endpoints of the named vendors; the tests hold them.
"""

import re
from typing import Any

from chain.gateway.classify_send import SEND_METHODS, send_refusal
from chain.gateway.errors import (
    ChainError,
    NodeBehind,
    NodeUnavailable,
    RangeTooLarge,
    RateLimited,
    RevertedSilently,
    RpcError,
    SendRefused,
    text_clean,
)
from chain.gateway.revert_read import revert_read


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_RANGE = _any_of(
    r"range (is )?(too|bigger|larger|greater|wider)",  # Ankr, Base, Cloudflare, Optimism, Merkle, Scroll, Tenderly
    r"max(imum)? (block )?range|max range",  # BNB Chain, PublicNode, Cloudflare, reth, Morph
    r"range limit|range exceeds?|exceeds? .{0,20}range",  # Besu, Chainstack, Somnia, Swell, Blast, Erigon
    r"limited to( a)? [\d,. -]+k? ?(blocks?|range|logs|results)",  # QuickNode, BlockPI, Alchemy, Coinbase
    r"up to a [\d,.]+k? block|at most [\d,.]+ blocks",  # Alchemy, PublicNode
    r"returned more than|exceeds? max results|exceeds? limit of \d+",  # Infura, zkSync, LlamaNodes, Arbitrum, reth
    r"too many (blocks|logs|results)|number of requested blocks",  # Avalanche, thirdweb, Nethermind
    r"blocks distance",  # Ankr
    r"must be smaller than size|block range should work|try with this block range",  # Harmony, Alchemy, Infura
    r"response (is )?too (large|big)|response size|query timeout",  # Optimism, 1RPC, Alchemy, Polygon
)
_RATE = _any_of(
    r"rate.?limit|too many requests|requests? limit|request rate|per second",  # Infura, QuickNode, dRPC
    r"compute units|capacity|throttl|quota|daily request count",  # Alchemy, Chainstack
    r"call rate|exceeded .{0,30}(limit|allowance)|slow down",  # Polygon, Pocket
)
# What is counted by a limit on ranges, in words of its own: not the `Logs` of `eth_getLogs`.
_COUNTED = re.compile(r"\b(blocks?|logs?|results?)\b", re.IGNORECASE)
_BEHIND = _any_of(
    r"(header|block)( number| hash)? not (be )?found|header for hash not found",  # geth, Erigon
    r"unknown (block|header)|resource not found",  # Besu, anvil
    r"(block|filter).{0,80}cannot be found|\d could not be found",  # Nethermind
    r"after last accepted block|beyond (the )?(head|current|latest)",  # Avalanche, Erigon, geth
    r"block ?out ?of ?range|block height is \d+ but|block is out of range",  # anvil, the proxy of OP chains
    r"not yet imported|could not find block",  # Circle, Sei
    r"not currently canonical|not canonical",  # geth, EIP-1898
)
# We never ask from a later to an earlier block, so that a node that says so does not have them (geth, reth).
_BEHIND_LOGS = _any_of(r"invalid block range")
_REVERT = _any_of(r"revert", r"VM Exception|VM execution error", r"invalid opcode|out of gas")
_UNHEALTHY = _any_of(
    r"no backend|no healthy|unavailable|internal error|upstream|bad gateway",
    r"timed? ?out|try again|still syncing|overloaded",
)
# Methods that run a contract, so that an error may be its refusal.
_RUN = frozenset({"eth_call", "eth_estimateGas"})
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
    if data is not None or (method in _RUN and (code == 3 or _REVERT.search(message))):
        reverted = revert_read(data) if data else RevertedSilently(message)
        reverted.revert_data = data or b""
        return reverted
    words = text_clean(f"{message} {_detail(error.get('data'))}")
    return send_refusal(words, code=code, method=method) or _by_words(code, words, method)


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


def _detail(data: Any) -> str:
    """What some vendors say in `data` instead of in the message."""
    if isinstance(data, dict):
        data = next((data[name] for name in ("message", "payload", "reason") if name in data), "")
    return data if isinstance(data, str) and not data.startswith("0x") else ""


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
    kind = SendRefused if method in SEND_METHODS else RpcError
    return kind(f"The node refused {method}: {message}", rpc_code=code)


def _kind(code: int | None, message: str, method: str) -> type[ChainError]:
    in_logs = method == "eth_getLogs"
    limited = bool(_RATE.search(message))
    table: tuple[tuple[bool, type[ChainError]], ...] = (
        (code in _RATE_CODES, RateLimited),
        # Words of both kinds stand together in some messages. The ones that count blocks or logs are about a range:
        # waiting would not help there, and asking for less does little harm elsewhere.
        (in_logs and bool(_RANGE.search(message)) and not (limited and not _COUNTED.search(message)), RangeTooLarge),
        (bool(_BEHIND.search(message)) or (in_logs and bool(_BEHIND_LOGS.search(message))), NodeBehind),
        (limited, RateLimited),
        # EIP-1474's "limit exceeded" without further words: for logs, asking for less is all that can help. Besu has
        # other uses for the code where a transaction is sent.
        (code == -32005 and method not in SEND_METHODS, RangeTooLarge if in_logs else RateLimited),
        (code == -32603 or bool(_UNHEALTHY.search(message)), NodeUnavailable),
    )
    return next((kind for holds, kind in table if holds), RpcError)
