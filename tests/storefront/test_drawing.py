"""Pictures of money: what is drawn where."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.storefront.drawing import HEIGHT, WIDTH, bar, vesting_picture

CURVE = [(100, 0), (150, 25), (200, 50), (300, 100)]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


def test_picture_puts_now_where_time_and_vested_meet():
    picture = vesting_picture(CURVE, amount=100, now=200)
    assert points(picture.now) == [(WIDTH / 2, 0), (WIDTH / 2, HEIGHT)]
    assert picture.dot == f"M{WIDTH // 2} {HEIGHT // 2}h0"
    assert points(picture.past) == [(0, HEIGHT), (WIDTH / 4, HEIGHT * 0.75), (WIDTH / 2, HEIGHT / 2)]
    assert points(picture.future) == [(WIDTH / 2, HEIGHT / 2), (WIDTH, 0)]


def test_picture_splits_what_was_held_into_vested_and_back():
    picture = vesting_picture(CURVE, amount=100, now=200)
    assert points(picture.vested)[0] == (0, HEIGHT) and points(picture.vested)[-1] == (WIDTH / 2, HEIGHT)
    assert points(picture.back)[:2] == [(WIDTH / 2, 0), (0, 0)]
    assert set(points(picture.past)) <= set(points(picture.vested)) & set(points(picture.back))


@pytest.mark.parametrize(("now", "x"), [(50, 0), (100, 0), (300, WIDTH), (10**12, WIDTH)])
def test_picture_keeps_now_inside(now, x):
    assert points(vesting_picture(CURVE, amount=100, now=now).now)[0] == (x, 0)


def test_picture_with_calls_shows_the_level_of_use():
    picture = vesting_picture(CURVE, amount=100, now=200, by_use=40)
    assert points(picture.use) == [(0, HEIGHT * 0.6), (WIDTH, HEIGHT * 0.6)]
    assert not vesting_picture(CURVE, amount=100, now=200).use


@pytest.mark.parametrize(("curve", "amount"), [([(100, 0)], 100), ([], 100), (CURVE, 0), ([(100, 0), (100, 5)], 100)])
def test_picture_of_nothing_is_none(curve, amount):
    assert vesting_picture(curve, amount=amount, now=200) is None


@given(
    st.lists(st.integers(0, 2**40), min_size=2, max_size=12, unique=True),
    st.integers(1, 2**96 - 1),
    st.integers(0, 2**41),
)
def test_picture_stays_in_its_box_for_any_amount(times, amount, now):
    times = sorted(times)
    curve = [(at, amount * place // (len(times) - 1)) for place, at in enumerate(times)]
    nearest = min(curve, key=lambda point: abs(point[0] - now))
    picture = vesting_picture(sorted({*curve, nearest}), amount=amount, now=nearest[0])
    for path in (picture.vested, picture.back, picture.past, picture.future, picture.now):
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(path))


@given(st.lists(st.integers(0, 2**96), min_size=1, max_size=5))
def test_bar_fills_its_width_and_shows_every_part(amounts):
    parts = [(str(place), amount) for place, amount in enumerate(amounts)]
    segments = bar(parts)
    assert [segment.name for segment in segments] == [name for name, amount in parts if amount]
    if segments:
        assert segments[0].x == 0
        assert sum(segment.width for segment in segments) == WIDTH
        assert all(segment.width >= 3 for segment in segments)
        for before, after in pairwise(segments):
            assert after.x == before.x + before.width
