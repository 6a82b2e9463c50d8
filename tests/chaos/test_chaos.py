"""Random histories of everything that can go wrong, and the index equal to the chain after each.

`--chaos-faults N --chaos-seed S` run N faults, forty on each chain, of the seeds from S on; `make chaos` runs a
thousand of random ones.
"""

import sys

import pytest
from weighhouse.core.errors import WeighhouseError

from chain.indexer import store
from chain.indexer.run import Indexer
from chain.indexer.store import Stream
from tests.chaos.world import World, world_of

pytestmark = pytest.mark.django_db
FAULTS_PER_CHAIN = 40
KINDS = (
    *("reorg_drop", "reorg_deep", "reorg_move", "out_and_back", "added_to_empty", "shorter_chain", "bad_answers"),
    *("lagging_node", "crash", "clock_jump", "two_at_once", "reorg_in_flight", "reorg_in_catch_up"),
)


def suffer(world: World, count: int, *kinds: str) -> list[str]:
    """Let so many faults happen, of these kinds or of all, checking after each. Raises AssertionError."""
    done: list[str] = []
    for _ in range(count):
        fault = getattr(world, world.rng.choice(kinds)) if kinds else world.rng.choice(world.faults())
        done.append(fault.__name__)
        try:
            world.activity()
            fault()
            world.settle()
            world.check()
        except (AssertionError, WeighhouseError) as error:
            raise AssertionError(f"seed {world.seed}, fault {len(done)}, {done[-5:]}: {error}") from error
    return done


def pytest_generate_tests(metafunc):
    """A chain of its own for every `FAULTS_PER_CHAIN` faults: anvil forgets old states that deep re-orgs go back to."""
    if "part" in metafunc.fixturenames:
        count, seed = metafunc.config.getoption("--chaos-faults"), metafunc.config.getoption("--chaos-seed")
        firsts = range(0, count, FAULTS_PER_CHAIN)
        parts = [(seed + number, min(FAULTS_PER_CHAIN, count - first)) for number, first in enumerate(firsts)]
        metafunc.parametrize("part", parts, ids=[f"seed {seed}" for seed, _ in parts])


def test_index_equals_the_chain_after_every_fault(market, monkeypatch, tmp_path, part, capsys):
    seed, count = part
    with world_of(market, monkeypatch, tmp_path, seed=seed) as world:
        done = suffer(world, count)
    with capsys.disabled():
        kinds = ", ".join(f"{name} {done.count(name)}" for name in sorted(set(done)))
        sys.stdout.write(f"\n{len(done)} faults of seed {seed}: {kinds}\n")


@pytest.mark.parametrize("kind", KINDS)
def test_index_equals_the_chain_after_each_kind_of_fault(market, monkeypatch, tmp_path, kind):
    with world_of(market, monkeypatch, tmp_path, seed=5) as world:
        assert {fault.__name__ for fault in world.faults()} == set(KINDS)
        suffer(world, 2, kind)


def ignores_reorgs(patch):
    patch.setattr(Indexer, "_still_canonical", lambda self, stream, heads: True)


def keeps_rows_of_the_old_branch(patch):
    patch.setattr(store, "_rows_delete", lambda *args, **more: 0)


def takes_every_block_for_empty(patch):
    patch.setattr("chain.indexer.run._may_hold", lambda header, contracts: False)


def forgets_its_place(patch):
    def unconditional(stream, **values):
        Stream.objects.filter(pk=stream.pk).update(**values)

    patch.setattr(store, "_stream_update", unconditional)


@pytest.mark.parametrize(
    ("plant", "kinds"),
    [
        (ignores_reorgs, ["reorg_drop"]),
        (keeps_rows_of_the_old_branch, ["reorg_drop"]),
        (takes_every_block_for_empty, ["reorg_drop"]),
        (forgets_its_place, ["two_at_once"]),
    ],
)
def test_planted_fault_of_the_indexer_is_noticed(market, monkeypatch, tmp_path, plant, kinds):
    plant(monkeypatch)
    with world_of(market, monkeypatch, tmp_path, seed=11) as world, pytest.raises(AssertionError, match="seed 11"):
        suffer(world, 40, *kinds)
