"""`index_chain` as a process: killed at acknowledged points, ended, doubled, without its node."""

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from chain.address_book import book_write
from chain.models import ChainEvent, Stream
from chain.selectors import chain_status, event_list
from marketplace.licences.models import Licence
from models_registry.models import Model
from tools.demo.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def unused_port() -> int:
    return free_port()


def logs_on_chain(market) -> int:
    addresses = [market.book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")]
    criteria = {"address": addresses, "fromBlock": hex(market.book.deployed_at_block), "toBlock": "latest"}
    return len(market.anvil.rpc("eth_getLogs", criteria))


def sales() -> int:
    return event_list(name="LicenceBought").count()


# Every place between two statements of a step. Some of them in each run, all in `make full`.
APPENDING = [
    pytest.param("indexer.between_blocks:1"),
    pytest.param("indexer.in_block:4"),
    *(
        pytest.param(point, marks=pytest.mark.slow)
        for point in (
            "indexer.between_blocks:4",
            "indexer.logs_fetched",
            "indexer.cursor_moved:2",
            "indexer.events_inserted:2",
            "indexer.logs_stored:3",
        )
    ),
]
REMOVING = [
    pytest.param("indexer.rows_deleted"),
    pytest.param("indexer.cursor_moved_back", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("point", APPENDING)
def test_indexer_killed_at_a_fault_point_and_restarted_loses_and_doubles_nothing(market, manage, tmp_path, point):
    _, plan_id, _ = market.sold_licence()
    for _ in range(4):
        market.buy(plan_id)
    _kill_at(point, manage, tmp_path)
    assert sales() < 5

    # Nobody waits for the dead process's lease to run out.
    Stream.objects.update(lease_until=timezone.now() + timedelta(hours=1))
    again = manage("index_chain", "--once")
    assert again.process.wait(90) == 0, again.output()
    assert ChainEvent.objects.count() == logs_on_chain(market)
    assert (sales(), Licence.objects.count(), Model.objects.count()) == (5, 5, 1)


@pytest.mark.parametrize("point", REMOVING)
def test_indexer_killed_while_it_undoes_a_reorg_and_restarted_follows_the_new_branch(market, manage, tmp_path, point):
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    market.buy(plan_id, by=market.outsider)
    _kill_at(point, manage, tmp_path)
    assert [event.args["holder"] for event in event_list(name="LicenceBought")] == [market.buyer, market.buyer]

    again = manage("index_chain", "--once")
    assert again.process.wait(90) == 0, again.output()
    assert ChainEvent.objects.count() == logs_on_chain(market)
    assert [event.args["holder"] for event in event_list(name="LicenceBought")] == [market.buyer, market.outsider]


def _kill_at(point, manage, directory) -> None:
    victim = manage("index_chain", env={"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(directory)})
    acknowledged = directory / point.partition(":")[0]
    victim.wait_until(acknowledged.exists, what="acknowledging the fault point", timeout_s=90)
    assert int(acknowledged.read_text()) == victim.pid
    victim.kill()


def test_indexer_told_to_end_finishes_gives_its_lease_back_and_exits_cleanly(market, manage):
    market.sold_licence()
    indexer = manage("index_chain")
    indexer.wait_until(lambda: sales() == 1, what="indexing the purchase", timeout_s=90)
    assert Stream.objects.get().lease_owner
    indexer.process.send_signal(signal.SIGTERM)
    assert indexer.process.wait(60) == 0
    assert Stream.objects.get().lease_owner == ""
    assert "Traceback" not in indexer.output()


def test_indexer_is_woken_by_new_heads_of_the_websocket_long_before_its_next_look(market, manage):
    _, plan_id, _ = market.sold_licence()
    websocket = market.anvil.url.replace("http://", "ws://")
    indexer = manage("index_chain", env={"WEIGHHOUSE_WS_URL": websocket, "WEIGHHOUSE_INDEX_POLL_INTERVAL_S": "3600"})
    indexer.wait_until(lambda: sales() == 1, what="indexing the purchase", timeout_s=90)
    for number in (2, 3):
        market.buy(plan_id)
        indexer.wait_until(lambda number=number: sales() == number, what="being woken", timeout_s=90)
    assert indexer.stop() == 0


def test_two_indexers_at_once_index_everything_once_also_when_the_first_is_killed(market, manage):
    _, plan_id, _ = market.sold_licence()
    both = [manage("index_chain"), manage("index_chain")]
    both[0].wait_until(lambda: sales() == 1, what="indexing the first purchase", timeout_s=90)
    for _ in range(3):
        market.buy(plan_id)
    both[0].wait_until(lambda: sales() == 4, what="indexing the next purchases", timeout_s=90)
    holder = next(one for one in both if f"/{one.pid}/" in Stream.objects.get().lease_owner)
    other = next(one for one in both if one is not holder)
    holder.kill()
    market.buy(plan_id)
    other.wait_until(lambda: sales() == 5, what="taking over", timeout_s=90)
    assert f"/{other.pid}/" in Stream.objects.get().lease_owner
    assert ChainEvent.objects.count() == logs_on_chain(market)
    assert other.stop() == 0


def test_indexer_without_its_node_says_so_and_goes_on_when_it_is_back(make_anvil, manage, tmp_path, unused_port):
    state = ["--state", str(tmp_path / "anvil.json")]
    node = make_anvil(port=unused_port, arguments=state)
    env = {"WEIGHHOUSE_RPC_URL": node.url, "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path / "book")}
    assert manage("deploy_contracts", env=env).process.wait(90) == 0
    indexer = manage("index_chain", env=env)
    deployed_head = int(node.rpc("eth_blockNumber"), 16)
    indexer.wait_until(
        lambda: Stream.objects.filter(next_block=deployed_head + 1).exists(), what="indexing", timeout_s=90
    )
    events = ChainEvent.objects.count()
    assert events > 0

    node.spawned.stop()
    indexer.wait_until(lambda: chain_status().error_code == "chain.node_unavailable", what="noticing", timeout_s=90)
    assert "endpoint 1" in chain_status().error_message
    assert str(unused_port) not in indexer.output() + chain_status().error_message, "no address of a node is told"

    back = make_anvil(port=unused_port, arguments=state)
    back.rpc("anvil_mine", "0x2")
    head = int(back.rpc("eth_blockNumber"), 16)
    indexer.wait_until(lambda: Stream.objects.get().next_block == head + 1, what="going on", timeout_s=90)
    assert chain_status().ok
    assert ChainEvent.objects.count() == events, "the chain is the same one after the restart of its node"
    assert indexer.stop() == 0


def test_indexer_on_a_node_of_another_chain_indexes_nothing_and_says_which(market, manage, tmp_path):
    book = type(market.book)(1337, market.book.deployed_at_block, market.book.contracts)
    book_write(tmp_path, book)
    env = {"WEIGHHOUSE_CHAIN_ID": "1337", "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)}
    indexer = manage("index_chain", "--once", env=env)
    assert indexer.process.wait(90) == 1
    assert "The node serves chain 31337, the settings name chain 1337" in indexer.output()
    assert "chain.wrong_chain" in indexer.output()
    assert "Traceback" not in indexer.output()
    assert not Stream.objects.filter(next_block__gt=0).exists()


def test_indexer_without_an_address_book_says_what_to_run(manage, tmp_path):
    indexer = manage("index_chain", "--once", env={"WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)})
    assert indexer.process.wait(90) == 1
    assert "deploy_contracts" in indexer.output()
    assert "Traceback" not in indexer.output()


def test_reindex_pushes_the_running_indexer_aside_and_builds_the_same_rows(market, manage):
    market.sold_licence()
    running = manage("index_chain")
    running.wait_until(lambda: sales() == 1, what="indexing", timeout_s=90)
    before = list(ChainEvent.objects.order_by("id").values_list("block_hash", "log_index", "args"))
    again = manage("reindex")
    assert again.process.wait(90) == 0, again.output()
    assert list(ChainEvent.objects.order_by("id").values_list("block_hash", "log_index", "args")) == before
    assert Licence.objects.count() == 1
    market.sold_licence(b"\x05" * 32)
    running.wait_until(lambda: sales() == 2, what="taking up again", timeout_s=90)
    assert running.stop() == 0


def test_fault_points_outside_demo_mode_are_refused(manage):
    env = {"WEIGHHOUSE_DEMO": "false", "WEIGHHOUSE_DEMO_WALLET": "false", "WEIGHHOUSE_FAULTS": "indexer.in_block"}
    indexer = manage("index_chain", "--once", env=env)
    assert indexer.process.wait(90) == 1
    assert "chain.E004" in indexer.output()


def test_reindex_shows_the_old_rows_until_it_is_done_and_a_killed_one_changes_nothing(market, manage, tmp_path):
    _, plan_id, _ = market.sold_licence()
    market.index()
    before = set(ChainEvent.objects.values_list("pk", flat=True))
    running = manage("index_chain")
    for point in ("rebuild.indexed", "rebuild.relinked", "rebuild.swapped"):
        directory = tmp_path / point
        victim = manage("reindex", env={"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(directory)})
        victim.wait_until((directory / point).exists, what="acknowledging the fault point", timeout_s=90)
        assert set(ChainEvent.objects.values_list("pk", flat=True)) >= before, "readers see the old rows"
        victim.kill()
    market.buy(plan_id)
    running.wait_until(lambda: sales() == 2, what="going on", timeout_s=90)

    assert manage("reindex").process.wait(90) == 0
    assert ChainEvent.objects.count() == logs_on_chain(market)
    assert not before & set(ChainEvent.objects.values_list("pk", flat=True))
    market.buy(plan_id)
    running.wait_until(lambda: sales() == 3, what="indexing behind the new rows", timeout_s=90)
    assert ChainEvent.objects.count() == logs_on_chain(market)
    assert running.stop() == 0
