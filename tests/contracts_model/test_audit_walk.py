"""The audit over random histories: whatever anyone did, in any order, the index equals the contracts at every block."""

import pytest

from chain.audit.run import LATEST, audit_run
from chain.models import ChainEvent
from tests.contracts_model.conftest import Cast
from tests.contracts_model.test_random_walk import walked
from tests.contracts_model.twin import Twin
from tests.fixtures.contracts import Market

STEPS = 300
SLOW_SEEDS = tuple(range(41, 49))


def walk_and_audit(twin: Twin, cast: Cast, market: Market, *, seed: int) -> None:
    twin.compare = lambda: None  # The contracts are compared with their model elsewhere.
    walked(twin, cast, seed=seed, steps=STEPS)
    market.index()
    head = market.gateway.header_at(None).number
    blocks = ChainEvent.objects.order_by("block_number").values_list("block_number", flat=True).distinct()
    for block in (*list(blocks)[10 :: max(len(blocks) // 8, 1)], head, LATEST):
        report = audit_run(block=block)
        assert [str(difference) for difference in report.differences] == [], f"seed {seed}, block {block}"


@pytest.mark.django_db
def test_audit_of_a_random_history_is_equal_at_blocks_all_along_it(twin: Twin, cast: Cast, market: Market) -> None:
    walk_and_audit(twin, cast, market, seed=40)


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("seed", SLOW_SEEDS)
def test_audit_of_a_further_random_history_is_equal(twin: Twin, cast: Cast, market: Market, seed: int) -> None:
    walk_and_audit(twin, cast, market, seed=seed)
