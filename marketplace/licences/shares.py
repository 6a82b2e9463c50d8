"""Who gets how much of a plan's income: the rule of `LicenceMarket.split`, for showing.

Shares are cut one after another from what is left, each rounded down: the protocol's fee, the operator's service share,
the ancestors in their stored order; the publisher has the rest. Each is a function of all that the plan earned, so that
what a split pays does not depend on how often somebody splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

WHOLE_BPS = 10_000


class Rates(Protocol):
    """What a plan's terms say about sharing."""

    fee_bps: int
    service_bps: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of an income in the token's smallest unit. They sum up to it."""

    fee: int
    service: int
    ancestors: tuple[int, ...]
    publisher: int

    def __sub__(self, other: "Shares") -> "Shares":
        pairs = zip(self.ancestors, other.ancestors, strict=True)
        return Shares(
            self.fee - other.fee,
            self.service - other.service,
            tuple(mine - theirs for mine, theirs in pairs),
            self.publisher - other.publisher,
        )


def shares_of(earned: int, *, fee_bps: int, service_bps: int, ancestor_bps: Sequence[int] = ()) -> Shares:
    """The shares of everything that a plan earned so far."""
    fee, rest = _cut(earned, fee_bps, WHOLE_BPS)
    service, rest = _cut(rest, service_bps, WHOLE_BPS - fee_bps)
    left, parts = WHOLE_BPS, []
    for bps in ancestor_bps:
        part, rest = _cut(rest, bps, left)
        left -= bps
        parts.append(part)
    return Shares(fee, service, tuple(parts), rest)


def unsplit_shares(rates: Rates, *, earned: int, split: int, ancestor_bps: Sequence[int] = ()) -> Shares:
    """What each would be credited if the plan were split now."""
    after, before = (
        shares_of(total, fee_bps=rates.fee_bps, service_bps=rates.service_bps, ancestor_bps=ancestor_bps)
        for total in (earned, split)
    )
    return after - before


def _cut(rest: int, bps: int, left: int) -> tuple[int, int]:
    part = rest * bps // left if left else 0
    return part, rest - part
