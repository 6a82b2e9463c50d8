"""The structs of the contracts. Fields stand in the order of the Solidity struct, which the tests compare.

`*_units` are in the smallest unit of the plan's token, `*_bps` in hundredths of a percent, `*_s` in seconds, `*_at` in
unix seconds of block time. Bytes are `0x` hex, addresses checksummed. What each field means is said in
`contracts/src/interfaces`.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class Right(IntFlag):
    """What a plan's `flags` are a sum of."""

    RUN = 1
    DOWNLOAD = 2
    TRANSFERABLE = 4
    RENEWABLE = 8


class SkipReason(IntEnum):
    """Why an entry of a usage report did not count."""

    UNKNOWN = 0
    UNMETERED = 1
    FOREIGN = 2
    DISABLED = 3
    CLOSED = 4
    NOT_HIGHER = 5
    ABOVE_TOTAL = 6


@dataclass(frozen=True, slots=True)
class Share:
    """A model and its part of what a model that was derived from it earns."""

    model_id: int
    bps: int


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """One row of a price list. `period_s` 0 is perpetual, `vesting_s` 0 vests at once, `calls` 0 is unmetered."""

    model_id: int
    token: str
    price_units: int
    period_s: int
    vesting_s: int
    calls: int
    supply: int
    fee_bps: int
    operator_id: int
    service_bps: int
    entry_bps: int
    flags: int


@dataclass(frozen=True, slots=True)
class PlanState:
    """How a plan sells, what it earned and how much of that was shared out."""

    live: int
    sold: int
    is_retired: bool
    earned_units: int
    split_units: int


@dataclass(frozen=True, slots=True)
class LicenceState:
    """A licence at one block. All zero where there is none.

    `expires_at` 0 is perpetual; `starts_at` 0 means that nothing vests over time; `settle_at` is not 0 for a cancelled
    metered licence that waits for its settlement.
    """

    exists: bool
    owner: str
    plan_id: int
    model_id: int
    expires_at: int
    used: int
    calls: int
    base: int
    flags: int
    is_valid: bool
    is_suspended: bool
    settle_at: int
    amount_units: int
    taken_units: int
    vested_units: int
    starts_at: int

    @property
    def refund_units(self) -> int:
        """What the holder gets back who leaves at this block."""
        return self.amount_units - self.vested_units


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs workers: the owner changes `key` (attests use) and `payee` (is credited with service shares)."""

    owner: str
    key: str
    payee: str
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class Authorization:
    """The part of an EIP-3009 authorization that the buyer chooses. Times are in unix seconds, both exclusive."""

    payer: str
    valid_after: int
    valid_before: int
    salt: bytes | str


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may do what at the market. Guardian and pauser may be the zero address: nobody."""

    admin: str
    guardian: str
    pauser: str
    treasury: str
