"""Random walks: every action, by anyone, at any time, in any order, compared with the model after each step."""

import pytest

from tests.contracts_model.conftest import Cast
from tests.contracts_model.states import DAY
from tests.contracts_model.twin import Twin
from tests.contracts_model.walk import Walk

STEPS = 450
# Seeds are fixed, so that a red build stays red. `--slow` adds others. Many short walks
# reach more than a few long ones, on which in the end everything has vested.
SEEDS = (7, 8, 9)
SLOW_SEEDS = tuple(range(11, 23))
FINGERPRINTS_EVERY = 25
SITUATIONS = (
    "vests by time",
    "vests by time and use",
    "waits for its settlement",
    "renewed with a remainder",
    "used before this term",
    "suspended",
    "was suspended",
)


def walked(twin: Twin, cast: Cast, *, seed: int, steps: int) -> Walk:
    walk = Walk(twin, cast, seed=seed)
    operator_id = twin.role("register_operator", cast.key, cast.payee, by=cast.operator)
    month = {"price": 30_000_000, "period": 30 * DAY, "vesting": 30 * DAY, "flags": 13}
    calls = {"price": 9_999_991, "vesting": 90 * DAY, "calls": 1_000, "operatorId": operator_id, "serviceBps": 2_000}
    for owner in (cast.publisher, cast.friend):
        model_id = twin.publish(by=owner, derivative_bps=300)
        twin.add_plan(model_id, by=owner, **month)
        twin.add_plan(model_id, by=owner, **calls, token=twin.usd, flags=15)
    name = ""
    for step in range(steps):
        try:
            name = walk.step()
            if step % FINGERPRINTS_EVERY == 0:
                walk.fingerprints_compare()
        except AssertionError as error:
            error.add_note(f"seed {seed}, step {step}, after {name}")
            raise
    return walk


@pytest.mark.parametrize("seed", SEEDS)
def test_random_walk_agrees_with_the_model(twin: Twin, cast: Cast, seed: int) -> None:
    walk = walked(twin, cast, seed=seed, steps=STEPS)
    assert_worthwhile(walk)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_further_random_walk_agrees_with_the_model(twin: Twin, cast: Cast, seed: int) -> None:
    walk = walked(twin, cast, seed=seed, steps=STEPS)
    assert walk.done.total() > STEPS // 2, walk.done


def assert_worthwhile(walk: Walk) -> None:
    """A walk on which most is refused, or on which nothing ever vests by use, would prove little."""
    assert walk.done.total() > STEPS // 2, walk.done
    for action in ("buy", "renew", "cancel", "settle", "report", "collect", "split", "withdraw"):
        assert walk.done[action] >= STEPS // 150, (action, walk.done)
    for situation in SITUATIONS:
        assert walk.seen[situation] >= 15, (situation, walk.seen)
