"""Re-orgs on a real chain, through the handlers of the whole site."""

import contextlib
import random

import pytest

from chain.errors import FinalityViolated
from chain.gateway.errors import NodeBehind
from chain.indexer.run import Indexer, index_to_head
from chain.models import BlockHeader, ChainEvent, Stream
from chain.selectors import event_list, licence_states
from marketplace.licences.models import Licence, Plan, PlanRetirement

pytestmark = pytest.mark.django_db


def holders() -> list[str]:
    return [event.args["holder"] for event in event_list(name="LicenceBought")]


def test_reorg_of_one_block_that_drops_a_purchase_removes_the_licence(
    market, assert_index_equals_chain, assert_audit_equal
):
    _, _, licence_id = market.sold_licence()
    market.index()
    assert Licence.objects.count() == 1
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert holders() == []
    assert not Licence.objects.exists()
    assert Plan.objects.count() == 1, "what the fork did not touch stays"
    assert not licence_states([licence_id])[licence_id].exists
    assert_index_equals_chain()
    assert_audit_equal()


def test_reorg_that_replaces_a_purchase_leaves_the_other_one_only(
    market, assert_index_equals_chain, assert_audit_equal
):
    _, plan_id, _ = market.sold_licence()
    market.index()
    height = market.anvil.rpc("eth_blockNumber")
    market.anvil.rpc("anvil_rollback", 1)
    licence_id = market.buy(plan_id, by=market.outsider)
    assert market.anvil.rpc("eth_blockNumber") == height
    market.index()
    assert holders() == [market.outsider]
    assert [licence.licence_id for licence in Licence.objects.all()] == [licence_id]
    assert licence_states([licence_id])[licence_id].owner == market.outsider
    assert_index_equals_chain()
    assert_audit_equal()


def test_reorg_of_many_blocks_deletes_from_the_fork_upward(market, assert_index_equals_chain, assert_audit_equal):
    model_id = market.publish()
    plan_id = market.add_plan(model_id)
    market.buy(plan_id)
    market.index()
    kept = set(ChainEvent.objects.values_list("pk", flat=True))
    for _ in range(5):
        market.buy(plan_id)
    market.index()
    assert len(holders()) == 6
    market.anvil.rpc("anvil_reorg", 5, [])
    market.buy(plan_id, by=market.outsider)
    market.index()
    assert holders() == [market.buyer, market.outsider]
    assert kept <= set(ChainEvent.objects.values_list("pk", flat=True)), "rows below the fork are the same rows"
    assert_index_equals_chain()
    assert_audit_equal()


def test_reorg_that_drops_a_retirement_puts_the_plan_back_on_sale(
    market, assert_index_equals_chain, assert_audit_equal
):
    plan_id = market.add_plan(market.publish())
    market.index()
    market.send("LicenceMarket", "retirePlan", [plan_id], by=market.publisher)
    market.index()
    assert PlanRetirement.objects.count() == 1
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert not PlanRetirement.objects.exists()
    assert Plan.objects.count() == 1
    assert_index_equals_chain()
    assert_audit_equal()


def test_chain_that_became_shorter_deletes_nothing_until_another_block_stands_there(
    market, assert_index_equals_chain, assert_audit_equal
):
    _, plan_id, _ = market.sold_licence()
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    careful = Indexer(gateway=market.gateway, book=market.book, development=False)
    with pytest.raises(NodeBehind):
        careful.step()
    assert holders() == [market.buyer], "a shorter chain may be a node that lags"
    market.buy(plan_id, by=market.outsider)
    index_to_head(careful)
    careful.close()
    assert holders() == [market.outsider]
    assert_index_equals_chain()
    assert_audit_equal()


def test_development_chain_that_lost_its_last_block_loses_the_purchase_in_it(
    market, assert_index_equals_chain, assert_audit_equal
):
    market.sold_licence()
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    market.index()
    assert holders() == []
    assert_index_equals_chain()
    assert_audit_equal()


def test_shorter_chain_with_another_block_below_is_a_reorg(market, assert_index_equals_chain, assert_audit_equal):
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    market.buy(plan_id)
    market.index()
    market.anvil.rpc("anvil_rollback", 3)
    market.buy(plan_id, by=market.outsider)
    market.index()
    assert holders() == [market.outsider]
    assert_index_equals_chain()
    assert_audit_equal()


def test_reorg_below_finality_stops_the_stream_off_development(market):
    _, plan_id, _ = market.sold_licence()
    market.mine(10)
    market.index()
    oldest = BlockHeader.objects.order_by("number").last()
    BlockHeader.objects.exclude(pk=oldest.pk).delete()
    market.anvil.rpc("anvil_rollback", 3)
    market.buy(plan_id, by=market.outsider)
    market.mine(5)
    careful = Indexer(gateway=market.gateway, book=market.book, development=False)
    with pytest.raises(FinalityViolated, match=str(oldest.number)):
        careful.step()
    assert len(holders()) == 1
    careful.close()


def test_reorg_below_finality_starts_again_on_development(market, assert_index_equals_chain, assert_audit_equal):
    plan_id = market.add_plan(market.publish())
    before = market.anvil.rpc("evm_snapshot")
    market.buy(plan_id)
    market.mine(100)
    market.index()
    assert holders() == [market.buyer]
    market.anvil.rpc("evm_revert", before)
    market.buy(plan_id, by=market.outsider)
    market.mine(120)
    market.index()
    assert holders() == [market.outsider]
    assert_index_equals_chain()
    assert_audit_equal()


def test_reorg_between_two_blocks_of_one_round_is_undone_in_the_next(
    market, monkeypatch, assert_index_equals_chain, assert_audit_equal
):
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    real, forked = market.gateway.headers, []

    def headers_then_fork(numbers):
        found = real(numbers)
        if len(numbers) > 1 and not forked:
            forked.append(True)
            market.anvil.rpc("anvil_reorg", 2, [])
        return found

    monkeypatch.setitem(vars(market.gateway), "headers", headers_then_fork)
    indexer = market.indexer()
    # The node may still know the blocks of the old branch, and then they are indexed; that ends with the next step.
    with contextlib.suppress(NodeBehind):
        indexer.step()
    indexer.close()
    market.index()
    assert forked
    assert holders() == []
    assert_index_equals_chain()
    assert_audit_equal()


@pytest.mark.parametrize("seed", range(4))
def test_random_history_of_purchases_and_reorgs_ends_with_the_chain(
    market, assert_index_equals_chain, assert_audit_equal, seed
):
    rng = random.Random(seed)
    plan_id = market.add_plan(market.publish(), supply=1000)
    market.mine(20)
    for _ in range(12):
        depth = rng.randint(1, 6)
        action = rng.choice(["buy", "buy", "reorg", "rollback", "index"])
        if action == "buy":
            market.buy(plan_id, by=rng.choice([market.buyer, market.outsider]))
        elif action == "reorg":
            market.anvil.rpc("anvil_reorg", depth, [])
        elif action == "rollback":
            market.anvil.rpc("anvil_rollback", depth)
            market.mine(rng.randint(1, depth + 1))
        else:
            _index_or_wait(market)
    market.mine(10)
    market.index()
    assert_index_equals_chain()
    assert_audit_equal()
    assert Licence.objects.count() == len(holders())
    assert Stream.objects.get().next_block == int(market.anvil.rpc("eth_blockNumber"), 16) + 1


def _index_or_wait(market) -> None:
    with contextlib.suppress(NodeBehind):
        market.index()
