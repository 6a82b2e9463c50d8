"""Which transaction used a nonce of an account: found with standard JSON-RPC, from a node that keeps old state.

Nobody indexes transactions by sender and nonce. But an account's count of transactions only grows, so that the block in
which it passed a nonce can be bisected with `eth_getTransactionCount`, and that block's transactions can be read.
"""

import re
from typing import Any

from chain.gateway.errors import ChainError, NodeBehind, NodeUnavailable
from chain.gateway.parse import hash_parse, number_parse, position_parse
from chain.gateway.protocol import ChainGateway
from chain.sent import SentTransaction, sent_parse

# Questions of one batch. Each batch cuts the range to a sixteenth: five of them search a million blocks.
PROBES = 15
BATCHES_MAX = 16
# The chain may have become shorter by this much since the newest block was noted.
REORG_SLACK = 64
# How nodes say that they no longer have the state of a block: geth, Erigon, Nethermind, Besu, and vendors' archives.
_OLD_STATE = re.compile(
    r"histor|missing trie|trie node|prun|archiv|state .{0,40}(available|found|retriev)", re.IGNORECASE
)


def transaction_at_nonce(
    gateway: ChainGateway, sender: str, nonce: int, *, first: int, last: int
) -> SentTransaction | None:
    """The transaction with which `sender` used `nonce`, in a block from about `first` up to `last`.

    `None` where the node cannot tell: it lacks the old state, or the nonce was used by something that is no transaction
    of the account (EIP-7702). Raises what the gateway raises where no node answers, or fails at this moment.
    """
    number = _block_bisect(gateway, sender, nonce, first=max(first - REORG_SLACK, 0), last=last)
    if number is None:
        return None
    block = gateway.request("eth_getBlockByNumber", [hex(number), True])
    return _transaction_in(block, number, sender, nonce)


def _block_bisect(gateway: ChainGateway, sender: str, nonce: int, *, first: int, last: int) -> int | None:
    """The block that took the account's count above `nonce`; `None` where the answers do not lead to one.

    1. The count at `low` is at most `nonce`, that at `high` above it. Where that does not hold at `first`, begin at 0.
    2. Ask for the count at blocks spread evenly between them, in one batch. Those that the node cannot answer are left
       out.
    3. The newest block still at most `nonce` and the oldest one above it are the next range, until they are neighbours.
    4. Where nothing narrows the range, ask for blocks ever further below its end: a node that prunes has the last ones.
       Where that narrows nothing either, the node cannot tell.
    """
    low, high = (first if _counts(gateway, sender, [first]).get(first, nonce + 1) <= nonce else 0), last
    heights = _spread
    for _ in range(BATCHES_MAX):
        if high - low <= 1:
            return high
        counts = _counts(gateway, sender, heights(low, high))
        above = [number for number, count in counts.items() if count > nonce]
        narrowed_high = min(above, default=high)
        below = [number for number, count in counts.items() if count <= nonce and number < narrowed_high]
        narrowed_low = max(below, default=low)
        if (narrowed_low, narrowed_high) != (low, high):
            low, high, heights = narrowed_low, narrowed_high, _spread
        elif heights is _below:
            return None
        else:
            heights = _below
    return None


def _spread(low: int, high: int) -> list[int]:
    """Up to `PROBES` heights strictly between the two."""
    gap = high - low
    steps = min(PROBES, gap - 1)
    return sorted({low + gap * step // (steps + 1) for step in range(1, steps + 1)} - {low, high})


def _below(low: int, high: int) -> list[int]:
    """Up to `PROBES` heights strictly between the two, at doubling distances from the upper one."""
    return [height for height in (high - 2**power for power in range(PROBES)) if height > low]


def _counts(gateway: ChainGateway, sender: str, numbers: list[int]) -> dict[int, int]:
    """How many transactions the account had sent by the end of these blocks, where the node has their state."""
    answers = gateway.request_many([("eth_getTransactionCount", [sender, hex(number)]) for number in numbers])
    counts: dict[int, int] = {}
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, NodeUnavailable) and not _OLD_STATE.search(answer.message):
            # It failed this once, which says nothing about the state that it has.
            raise answer
        if not isinstance(answer, ChainError):
            counts[number] = number_parse(answer)
    return counts


def _transaction_in(block: Any, number: int, sender: str, nonce: int) -> SentTransaction | None:
    if block is None:
        raise NodeBehind("The node no longer has a block that it just answered about.")
    if not isinstance(block, dict) or not isinstance(block.get("transactions"), list):
        raise NodeUnavailable("The node answered something that is not a block with transactions.")
    place = position_parse(block.get("number"), "block number"), hash_parse(block.get("hash"))
    if place[0] != number:
        raise NodeUnavailable(f"The node answered block {place[0]} instead of block {number}.")
    for item in block["transactions"]:
        if not isinstance(item, dict):
            raise NodeUnavailable("The node answered a block without its transactions.")
        if str(item.get("from")).lower() != sender.lower() or number_parse(item.get("nonce")) != nonce:
            continue
        found = sent_parse(item)
        if found.place is None or (found.place.number, found.place.hash) != place:
            raise NodeUnavailable("The node answered a transaction of another block than its own.")
        return found
    return None
