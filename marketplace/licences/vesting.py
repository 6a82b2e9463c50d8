"""How much of what a licence holds has vested, and what would come back: the rule of `LicenceMarket`, for showing.

    vested = max(floor, by time, by use), at most the amount
    by time = floor(amount * (t - start) / duration)            on the model's clock
    by use  = floor(amount * (used - base) / (calls - base))    on metered plans

All times here are block times as the market states them: shifted for the suspensions that are known. A suspension to
come only lets less vest, so that a refund computed here is a lower bound as long as no further calls are reported.
The specification is in docs/contracts.md; the contract alone decides.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Term:
    """What a licence holds in its present term. Amounts are in the token's smallest unit, times in unix seconds.

    `floor` is what has vested for good. `duration_s` 0 says that time vests nothing (any more): the licence was
    cancelled, or holds nothing. `calls` 0 says that use vests nothing.
    """

    amount: int
    floor: int
    starts_at: int
    duration_s: int
    used: int = 0
    base: int = 0
    calls: int = 0

    @property
    def ends_at(self) -> int:
        """When time alone has vested everything; 0 where it never does."""
        return self.starts_at + self.duration_s if self.duration_s else 0


def vested(term: Term, at: int, *, used: int | None = None) -> int:
    """What has vested at a block time, if the operator has reported `used` calls by then (as many as now without)."""
    by_use = _part(term.amount, (term.used if used is None else used) - term.base, term.calls - term.base)
    return min(term.amount, max(term.floor, vested_by_time(term, at), by_use))


def vested_by_time(term: Term, at: int) -> int:
    """What time alone vests until then."""
    return _part(term.amount, at - term.starts_at, term.duration_s)


def vested_by_use(term: Term) -> int:
    """What the reported calls alone have vested."""
    return _part(term.amount, term.used - term.base, term.calls - term.base)


def refund(term: Term, at: int, *, used: int | None = None) -> int:
    """What comes back if the licence is cancelled in a block of that time."""
    return term.amount - vested(term, at, used=used)


def renewed(term: Term, at: int, *, held: int, ends_at: int, calls: int = 0) -> Term:
    """The term that a renewal at `at` begins: what has not vested is held on with `held` more, over the new term.

    `held` is the price less its entry share, `calls` what the renewal adds, `ends_at` when the new term ends.
    """
    return Term(
        amount=refund(term, at) + held,
        floor=0,
        starts_at=at,
        duration_s=max(ends_at - at, 0),
        used=term.used,
        base=term.used,
        calls=term.calls + calls,
    )


def curve(term: Term, *, now: int, points: int = 33) -> list[tuple[int, int]]:
    """`(block time, vested)` from the start of the term to its end, `now` among them, for a picture.

    What has vested by use until now counts from now on: when it was reported is not known here. Where time vests
    nothing there is one point, now.
    """
    if not term.duration_s:
        return [(now, vested(term, now))]
    steps = {term.starts_at + term.duration_s * step // (points - 1) for step in range(points)}
    times = sorted(steps | {now})
    past = replace(term, floor=0, calls=0, used=0, base=0)
    return [(at, vested(term if at >= now else past, at)) for at in times]


def _part(amount: int, done: int, whole: int) -> int:
    """`amount * done / whole`, rounded down and kept between 0 and `amount`; 0 where there is no whole."""
    if whole <= 0 or done <= 0:
        return 0
    return amount * min(done, whole) // whole
