"""What to pay per gas. Pure, but for the one question to the node.

A node is not trusted with money: whatever it says, nothing above the operator's cap is signed.
"""

from dataclasses import dataclass
from statistics import median_low
from typing import Any

from chain.gateway.errors import NodeUnavailable
from chain.gateway.parse import number_parse
from chain.gateway.protocol import ChainGateway
from chain.outbox.errors import FeeCapReached, FeesUnsupported

HISTORY_BLOCKS = 10
# A replacement must offer 10 % more on both fields for geth and 12.5 % for others.
BUMP_NUMERATOR, BUMP_DENOMINATOR = 9, 8


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas."""

    max_fee_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True)
class Market:
    """The next block's base fee and a usual tip, in wei per gas."""

    base_wei: int
    tip_wei: int


def market_read(gateway: ChainGateway) -> Market:
    """Raises `FeesUnsupported` and the gateway's errors."""
    answer = gateway.request("eth_feeHistory", [hex(HISTORY_BLOCKS), "latest", [50]])
    if not isinstance(answer, dict):
        raise NodeUnavailable("The node answered something that is not a history of fees.")
    bases = _numbers(answer.get("baseFeePerGas"))
    if not bases:
        raise FeesUnsupported("Blocks of this chain carry no base fee; the outbox sends EIP-1559 transactions only.")
    tips = [_numbers(row) for row in answer.get("reward") or [] if isinstance(row, list)]
    usual = median_low([row[0] for row in tips if row] or [0])
    if usual == 0:
        usual = number_parse(gateway.request("eth_maxPriorityFeePerGas", []))
    return Market(bases[-1], usual)


def fees_suggest(market: Market, *, cap_wei: int) -> Fees:
    """Fees that survive several full blocks. Raises `FeeCapReached` where not even the next block is within the cap."""
    least = market.base_wei + market.tip_wei
    if least > cap_wei:
        raise _cap_reached(least, cap_wei)
    return Fees(min(2 * market.base_wei + market.tip_wei, cap_wei), market.tip_wei)


def fees_bump(last: Fees, market: Market, *, cap_wei: int) -> Fees:
    """Fees that nodes accept in the place of `last`, and that fit the market. Raises `FeeCapReached`."""
    tip = max(_raised(last.tip_wei), market.tip_wei)
    fee = max(_raised(last.max_fee_wei), min(2 * market.base_wei + tip, cap_wei))
    if fee > cap_wei or market.base_wei > cap_wei:
        raise _cap_reached(max(fee, market.base_wei), cap_wei)
    return Fees(fee, min(tip, fee))


def _raised(wei: int) -> int:
    return -(-wei * BUMP_NUMERATOR // BUMP_DENOMINATOR)


def _cap_reached(wei: int, cap_wei: int) -> FeeCapReached:
    return FeeCapReached(
        f"The chain asks for {wei} wei per gas, the operator allows {cap_wei}. Transactions wait until it asks for"
        " less, or until WEIGHHOUSE_OPERATOR_MAX_FEE_WEI is raised."
    )


def _numbers(values: Any) -> list[int]:
    if not isinstance(values, list):
        raise NodeUnavailable("The node answered something that is not a history of fees.")
    return [number_parse(value) for value in values]
