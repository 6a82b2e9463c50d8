"""The money rules as plain arithmetic: whole numbers, no state, nothing of the contracts' code.

Written from the specification and the interfaces. Amounts are in a token's smallest unit, times in seconds, shares in
hundredths of a percent. Fractions are `fractions.Fraction`, so that no intermediate result can round or overflow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

WHOLE = 10_000


def entry_share(price: int, entry_bps: int) -> int:
    """The part of `price` that is income at once on a plan that vests."""
    return floor(Fraction(price * entry_bps, WHOLE))


def clamped(part: int, whole: int) -> Fraction:
    """`part / whole`, at least 0 and at most 1. A whole of 0 is reached from its start."""
    if whole <= 0:
        return Fraction(1)
    return min(Fraction(1), max(Fraction(0), Fraction(part, whole)))


def vested_amount(amount: int, taken: int, fractions: Iterable[Fraction]) -> int:
    """The most that any of the fractions reaches; what has vested once stays vested."""
    return max([taken, *(floor(amount * fraction) for fraction in fractions)])


@dataclass(frozen=True)
class Shares:
    """Who has what of an income, in all."""

    fee: int
    service: int
    ancestors: tuple[int, ...]
    publisher: int

    @property
    def total(self) -> int:
        return self.fee + self.service + sum(self.ancestors) + self.publisher

    def __sub__(self, earlier: "Shares") -> "Shares":
        ancestors = tuple(now - then for now, then in zip(self.ancestors, earlier.ancestors, strict=True))
        return Shares(
            self.fee - earlier.fee, self.service - earlier.service, ancestors, self.publisher - earlier.publisher
        )


def income_shares(income: int, *, fee_bps: int, service_bps: int, ancestor_bps: Sequence[int]) -> Shares:
    """Divide all that a plan ever earned. One share after another is taken, each rounded down, from what is left.

    Fee and service are shares of the income. An ancestor's is a share of what fee and service leave. Each is asked of
    the rest in proportion to what the rest still stands for, so that every part only grows as the income does.
    """
    fee = floor(Fraction(income * fee_bps, WHOLE))
    left = income - fee
    service = floor(Fraction(left * service_bps, WHOLE - fee_bps))
    left -= service
    owed, gone = [], 0
    for bps in ancestor_bps:
        part = floor(Fraction(left * bps, WHOLE - gone))
        owed.append(part)
        left -= part
        gone += bps
    return Shares(fee, service, tuple(owed), left)
