"""Handing a signed transaction to a node, and what its answer means.

Nodes agree on no codes here, only roughly on words. What is not understood is an error for a person to read; it never
means that the transaction did not get out.
"""

import re
from enum import Enum

from chain.gateway.errors import RpcError
from chain.gateway.protocol import ChainGateway
from chain.outbox.errors import LowBalance

# Geth, Erigon, Nethermind, Besu, reth and anvil, in their words.
_KNOWN = re.compile(r"already (known|imported|exists|in)|known transaction|alreadyknown|duplicate", re.IGNORECASE)
_NONCE = re.compile(r"nonce (is )?too low|nonce_too_low|oldnonce|old nonce|nonce below|invalid nonce", re.IGNORECASE)
_UNDERPRICED = re.compile(
    r"underpriced|fee too low|feetoolow|gas price (is )?(too low|below)|less than block base fee|"
    r"lower than the (minimum|current)|max fee per gas less than|gas price below|replacement",
    re.IGNORECASE,
)
_FUNDS = re.compile(r"insufficient (funds|balance)|insufficientfunds|exceeds? (the )?balance", re.IGNORECASE)


class Sent(Enum):
    ACCEPTED = "accepted"
    # The node wants more than this, or more than what it already holds with the same nonce.
    UNDERPRICED = "underpriced"
    # Something with this nonce is in a block: this attempt, another one, or a stranger's.
    NONCE_USED = "nonce used"


def raw_send(gateway: ChainGateway, raw: str) -> Sent:
    """Raises `LowBalance`, `RpcError` for a refusal without a name here, and the gateway's errors.

    After `NodeUnavailable` and the like nobody knows whether the transaction got out: ask by its hash, send it again.
    """
    try:
        gateway.request("eth_sendRawTransaction", [raw])
    except RpcError as error:
        if _KNOWN.search(error.message):
            return Sent.ACCEPTED
        if _NONCE.search(error.message):
            return Sent.NONCE_USED
        if _UNDERPRICED.search(error.message):
            return Sent.UNDERPRICED
        if _FUNDS.search(error.message):
            raise low_balance() from error
        raise
    return Sent.ACCEPTED


def is_about_funds(error: RpcError) -> bool:
    return _FUNDS.search(error.message) is not None


def low_balance() -> LowBalance:
    return LowBalance("The account cannot pay for the transaction. Send it some of the chain's coin; nothing is lost.")
