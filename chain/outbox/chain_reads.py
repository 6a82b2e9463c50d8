"""What became of a signed transaction, asked of the chain."""

from dataclasses import dataclass

from chain.gateway.errors import ChainError, NodeUnavailable, Reverted
from chain.gateway.parse import number_parse, position_parse, receipt_parse
from chain.gateway.protocol import ChainGateway

# More than any coin has; a fee of so much gas still fits its column.
WEI_MAX = 2**128 - 1
# Nodes hold 64 transactions of an account, some a few hundred.
WAITING_MOST = 256


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block. `fee_wei` is what its gas cost, data on the layer below included."""

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    fee_wei: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many transactions of an account are in blocks, and how many with those that the node still holds."""

    latest: int
    pending: int


def mined_read(gateway: ChainGateway, tx_hash: str) -> Mined | None:
    """`None` while the transaction is in no block. Raises the gateway's errors."""
    answer = gateway.request("eth_getTransactionReceipt", [tx_hash])
    if answer is None:
        return None
    receipt = receipt_parse(answer)
    if receipt.tx_hash != tx_hash:
        raise NodeUnavailable("The node answered the receipt of another transaction.")
    price = position_parse(answer.get("effectiveGasPrice"), "gas price", most=WEI_MAX)
    # The OP stack names the price of its data in the receipt; elsewhere there is none.
    below = position_parse(answer["l1Fee"], "fee", most=WEI_MAX) if answer.get("l1Fee") is not None else 0
    return Mined(tx_hash, receipt.block_number, receipt.block_hash, receipt.succeeded, receipt.gas_used * price + below)


def is_known(gateway: ChainGateway, tx_hash: str) -> bool:
    """Whether the node has the transaction, in a block or waiting."""
    return gateway.request("eth_getTransactionByHash", [tx_hash]) is not None


def counts_read(gateway: ChainGateway, address: str) -> Counts:
    """Raises `NodeUnavailable` where the node claims to hold more than nodes hold of one account."""
    latest, pending = (
        position_parse(gateway.request("eth_getTransactionCount", [address, block]), "count of transactions")
        for block in ("latest", "pending")
    )
    if pending - latest > WAITING_MOST:
        # Believed, the next call would get a nonce that nobody reaches, and the gap below it would have to be paid for.
        raise NodeUnavailable(f"The node claims to hold {pending - latest} transactions of one account.")
    return Counts(latest, max(latest, pending))


def balance_read(gateway: ChainGateway, address: str) -> int:
    return number_parse(gateway.request("eth_getBalance", [address, "latest"]))


def revert_reason(gateway: ChainGateway, call: dict[str, str], *, block_number: int) -> tuple[str, str]:
    """Code and sentence of why a call failed in a block.

    It is run again on top of that block, then of the one before: others stand between, so this is a hint.
    """
    for number in (block_number, max(block_number - 1, 0)):
        try:
            gateway.request("eth_call", [call, hex(number)])
        except Reverted as error:
            return error.code, error.message
        except ChainError:
            return "chain.transaction_failed", "It failed in its block; the node does not keep the state that says why."
    return "chain.transaction_failed", "The reason cannot be reproduced; it may have run out of gas."
