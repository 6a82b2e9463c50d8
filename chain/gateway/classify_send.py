"""Which named error a node's refusal of a transaction is.

The words are those of geth, Erigon, Nethermind, Besu, reth and anvil, and of the chains that are named beside them.
They are looked for only where a transaction was sent or priced, so that a reason of a contract is never taken for one.
"""

import re

from chain.gateway.errors import (
    AlreadyKnown,
    ChainError,
    InsufficientFunds,
    NodeUnavailable,
    NonceTooHigh,
    NonceTooLow,
    SendRefused,
    TransactionUnderpriced,
)

SEND_METHODS = frozenset({"eth_sendRawTransaction", "eth_sendTransaction"})
_PRICED_METHODS = SEND_METHODS | {"eth_estimateGas", "eth_call"}


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_FUNDS = _any_of(
    r"insufficient ?(funds|balance)|not enough funds",  # geth, reth, anvil, Erigon, Nethermind, Arbitrum
    r"upfront cost exceeds|cause overdraft",  # Besu, geth
)
_KNOWN = _any_of(
    r"already ?known|\bknown transaction",  # geth, reth, Erigon, Nethermind, Besu
    r"already imported|same hash",  # anvil, OpenEthereum, Erigon
    r"tx already exists in cache",  # Cosmos chains
)
_NONCE_LOW = _any_of(r"nonce (is )?too low|\bOldNonce\b")
_NONCE_HIGH = _any_of(
    r"nonce (is )?too (high|far|distant)|\bNonceGap\b",  # geth, Nethermind, Besu
)
_REPLACEMENT = _any_of(
    r"replacement (transaction |fee )?(is )?(underpriced|too low)|could not replace",  # geth, Besu, reth, Erigon
    r"another (tx|transaction) (with|which has the) same nonce|\bReplacementNotAllowed\b",  # OpenEthereum, Kaia
)
_UNDERPRICED = _any_of(
    r"underpriced|fee ?too ?low|gas ?price (is )?too low|increasing the (fee|gas price)",  # geth, Nethermind, Erigon
    r"(price|fee|fee cap|fee per gas)\b.{0,40}\b(less than|below)\b",  # anvil, Besu, Arbitrum
)
_FULL = _any_of(r"pool (is )?full|queue (is )?full")


def send_refusal(message: str, *, code: int | None, method: str) -> ChainError | None:
    """The named refusal of a transaction; `None` where the words are not about one.

    A full pool is `NodeUnavailable`: another node, or the same one later, may have room.
    """
    if method not in _PRICED_METHODS:
        return None
    if _FUNDS.search(message):
        return InsufficientFunds(f"The sender's account does not hold enough: {message}", rpc_code=code)
    return _of_sent(message, code) if method in SEND_METHODS else None


def _of_sent(message: str, code: int | None) -> ChainError | None:
    if _KNOWN.search(message):
        return AlreadyKnown(f"The node has this transaction: {message}", rpc_code=code)
    kinds: tuple[tuple[re.Pattern[str], type[SendRefused], str], ...] = (
        (_NONCE_LOW, NonceTooLow, "The nonce is used up"),
        (_NONCE_HIGH, NonceTooHigh, "The node misses transactions before this one"),
    )
    for pattern, kind, sentence in kinds:
        if pattern.search(message):
            return kind(f"{sentence}: {message}", rpc_code=code)
    replacement = bool(_REPLACEMENT.search(message))
    if replacement or _UNDERPRICED.search(message):
        return TransactionUnderpriced(f"The fee is too low: {message}", rpc_code=code, replacement=replacement)
    return NodeUnavailable(f"The node has no room: {message}") if _FULL.search(message) else None
