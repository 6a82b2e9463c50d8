"""The arithmetic that pages show, against fractions, at its edges, and against the market itself to the wei."""

import itertools
import random
from dataclasses import replace
from fractions import Fraction

import pytest

from marketplace.licences import selectors
from marketplace.licences.shares import shares_of, unsplit_shares
from marketplace.licences.vesting import Term, curve, refund, renewed, vested, vested_by_time, vested_by_use
from tests.fixtures.contracts import RENEWABLE, RUN

DAY = 24 * 3600
MONTH = Term(amount=1_000_003, floor=0, starts_at=1_000, duration_s=30 * DAY)
METERED = replace(MONTH, used=13, base=10, calls=17)


def by_fractions(term: Term, at: int) -> int:
    """The rule of docs/contracts.md with exact fractions."""
    parts = [Fraction(0)]
    if term.duration_s:
        parts.append(Fraction(at - term.starts_at, term.duration_s))
    if term.calls > term.base:
        parts.append(Fraction(term.used - term.base, term.calls - term.base))
    share = max(min(max(part, Fraction(0)), Fraction(1)) for part in parts)
    return max(term.floor, int(share * term.amount))


@pytest.mark.parametrize(
    ("after_s", "share"), [(-5, 0), (0, 0), (15 * DAY, Fraction(1, 2)), (30 * DAY, 1), (99 * DAY, 1)]
)
def test_vested_by_time_is_the_part_of_the_term_that_has_passed(after_s, share):
    assert vested_by_time(MONTH, MONTH.starts_at + after_s) == int(MONTH.amount * share)
    assert refund(MONTH, MONTH.starts_at + after_s) == MONTH.amount - int(MONTH.amount * share)


def test_vested_by_use_counts_from_the_base_of_the_term():
    assert vested_by_use(METERED) == 1_000_003 * 3 // 7
    assert vested_by_use(replace(METERED, used=17)) == METERED.amount
    assert vested_by_use(MONTH) == 0


def test_vested_is_the_larger_of_time_and_use_and_never_below_what_was_taken():
    assert vested(METERED, METERED.starts_at) == 1_000_003 * 3 // 7
    assert vested(METERED, METERED.starts_at + 29 * DAY) == 1_000_003 * 29 // 30
    assert vested(METERED, METERED.starts_at, used=17) == METERED.amount
    assert vested(replace(MONTH, floor=900_000), MONTH.starts_at) == 900_000


def test_vested_of_any_term_is_what_exact_fractions_say():
    rng = random.Random(8)
    for _ in range(2000):
        base = rng.randrange(0, 50)
        term = Term(
            amount=rng.randrange(0, 2**96),
            floor=0,
            starts_at=rng.randrange(1, 2**31),
            duration_s=rng.choice([0, 3600, rng.randrange(1, 2**28)]),
            used=base + rng.randrange(0, 50),
            base=base,
            calls=rng.choice([0, base + rng.randrange(50, 200)]),
        )
        term = replace(term, base=0, used=0) if not term.calls else term
        at = term.starts_at + rng.randrange(-10, 2**28)
        assert vested(term, at) == by_fractions(term, at)


def test_renewed_blends_what_had_not_vested_into_the_new_term():
    half = MONTH.starts_at + 15 * DAY
    term = renewed(METERED, half, held=500, ends_at=METERED.ends_at + 30 * DAY, calls=7)
    assert (term.amount, term.base, term.used, term.calls) == (refund(METERED, half) + 500, 13, 13, 24)
    assert (vested(term, half), term.duration_s) == (0, 45 * DAY)


def test_curve_begins_with_the_term_passes_now_and_ends_with_everything():
    now = MONTH.starts_at + 7 * DAY + 1
    points = curve(MONTH, now=now, points=9)
    assert points[0] == (MONTH.starts_at, 0)
    assert points[-1] == (MONTH.ends_at, MONTH.amount)
    assert (now, vested(MONTH, now)) in points
    assert [value for _, value in points] == sorted(value for _, value in points)


def test_curve_of_a_metered_term_steps_up_now_by_what_was_used():
    now = METERED.starts_at + DAY
    points = dict(curve(METERED, now=now))
    before = max(at for at in points if at < now)
    assert points[before] <= METERED.amount // 30
    assert points[now] == METERED.amount * 3 // 7


def test_curve_without_time_is_one_point():
    still = replace(MONTH, duration_s=0, floor=5)
    assert curve(still, now=77) == [(77, 5)]


def test_shares_sum_up_to_the_income_and_never_fall():
    rng = random.Random(9)
    for _ in range(300):
        bps = [rng.randrange(0, 1200) for _ in range(rng.randrange(0, 5))]
        rates = {"fee_bps": rng.randrange(0, 501), "service_bps": rng.randrange(0, 5001), "ancestor_bps": bps}
        earned = 0
        before = shares_of(earned, **rates)
        for _ in range(20):
            earned += rng.choice([1, 1, 7, rng.randrange(0, 2**90)])
            after = shares_of(earned, **rates)
            parts = [after.fee, after.service, *after.ancestors, after.publisher]
            assert sum(parts) == earned
            grown = after - before
            assert min(grown.fee, grown.service, grown.publisher, *grown.ancestors, 0) == 0
            before = after


def test_shares_of_a_split_do_not_depend_on_how_often_it_was_called(market):
    class Rates:
        fee_bps, service_bps = 200, 3333

    steps = [0, 1, 2, 50, 51, 10_000, 10_001]
    pieces = [unsplit_shares(Rates, earned=b, split=a, ancestor_bps=[5, 4995]) for a, b in itertools.pairwise(steps)]
    whole = unsplit_shares(Rates, earned=10_001, split=0, ancestor_bps=[5, 4995])
    assert sum(piece.publisher for piece in pieces) == whole.publisher
    assert [sum(parts) for parts in zip(*(piece.ancestors for piece in pieces), strict=True)] == list(whole.ancestors)


@pytest.mark.django_db
def test_refund_at_a_later_block_is_to_the_wei_what_the_market_pays_there(market):
    terms = {"price": 999_999_999_999_999_989, "period": 30 * DAY, "vesting": 30 * DAY, "entryBps": 777}
    _, _, licence_id = market.sold_licence(**terms)
    market.index()
    detail = selectors.licence_detail(licence_id)
    leave_at = detail.now + 11 * DAY + 12_345
    promised = detail.refund_at(leave_at)
    assert promised < detail.refund == detail.amount == terms["price"] - terms["price"] * 777 // 10_000
    market.warp(60)  # so that the wallet's estimate of gas counts what vests
    market.next_block_at(leave_at)
    events = market.cancel(licence_id)
    (settled,) = [event for event in events if event["name"] == "LicenceSettled"]
    assert settled["refund"] == promised


@pytest.mark.django_db
def test_refund_after_renewals_use_and_a_suspension_is_what_the_market_pays(market):
    terms = {"price": 10**18 + 7, "period": 30 * DAY, "vesting": 30 * DAY, "calls": 97, "flags": RUN | RENEWABLE}
    model_id, _, licence_id = market.sold_licence(**terms)
    market.warp(9 * DAY)
    market.report_usage({licence_id: 31})
    market.collect(licence_id)
    market.renew(licence_id)
    market.suspend(model_id)
    market.warp(5 * DAY)
    market.resume(model_id)
    market.report_usage({licence_id: 33})
    market.index()
    detail = selectors.licence_detail(licence_id)
    leave_at = detail.now + 20 * DAY
    promised = detail.refund_at(leave_at)
    market.next_block_at(leave_at)
    market.cancel(licence_id)
    market.warp(6 * 3600)
    market.index()
    later = selectors.licence_detail(licence_id)
    assert (later.state, later.is_settleable, later.refund) == ("cancelled", True, promised)
    assert market.settle(licence_id) == promised
    market.index()
    settled = selectors.licence_detail(licence_id)
    assert (settled.state, settled.refund_paid, settled.refund) == ("settled", promised, 0)
    assert settled.settled_tx_hash == market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]


@pytest.mark.django_db
def test_curve_of_a_licence_is_what_the_market_says_at_those_times(market):
    terms = {"price": 10**17 + 3, "vesting": 10 * DAY}
    _, _, licence_id = market.sold_licence(**terms)
    market.index()
    points = [point for point in selectors.licence_detail(licence_id).curve if point[0] > market.now]
    for at, expected in points[::8]:
        market.mine_at(at)
        (state,) = market.read("LicenceMarket", "licenceStates", [[licence_id]])
        assert state["vested"] == expected
