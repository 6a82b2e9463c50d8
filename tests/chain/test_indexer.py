"""The indexer against a real chain: steps, restarts, leases, handlers, what it does with what it cannot read."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from chain import abi, handlers
from chain.errors import FinalityViolated, HandlerFailed, LeaseLost
from chain.gateway.errors import NodeUnavailable, RangeTooLarge
from chain.indexer import store
from chain.indexer.lease import owner_identity
from chain.indexer.ranges import RangeSize
from chain.indexer.rebuild import index_rebuild
from chain.indexer.run import Indexer, index_forever, index_to_head
from chain.models import BlockHeader, ChainEvent, ParkedLog, Stream
from chain.selectors import chain_status, event_list

pytestmark = pytest.mark.django_db


def places() -> list[tuple[int, int, str]]:
    return list(ChainEvent.objects.order_by("id").values_list("block_number", "log_index", "name"))


def bought() -> list[str]:
    return [event.args["licenceId"] for event in event_list(name="LicenceBought")]


def test_indexer_reads_a_purchase_with_its_exact_arguments(market):
    model_id, plan_id, licence_id = market.sold_licence()
    market.index()
    event = ChainEvent.objects.get(name="LicenceBought")
    assert event.args == {
        "licenceId": str(licence_id),
        "planId": str(plan_id),
        "holder": market.buyer,
        "payer": market.buyer,
        "price": "1000",
        "entry": "1000",
        "expiry": "0",
        "calls": "0",
    }
    assert (event.contract, event.chain_id) == ("LicenceMarket", 31337)
    assert event.address == market.book.contract("LicenceMarket").address
    plan = ChainEvent.objects.get(name="PlanAdded")
    assert plan.args["terms"]["price"] == "1000"
    assert plan.args["modelId"] == str(model_id)


def test_indexer_stores_every_log_of_its_contracts_once_and_none_of_a_token(market):
    market.sold_licence()
    market.sold_licence(b"\x02" * 32, token=market.usd)
    market.index()
    addresses = [market.book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")]
    criteria = {"address": addresses, "fromBlock": hex(market.book.deployed_at_block), "toBlock": "latest"}
    on_chain = [
        (int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in market.anvil.rpc("eth_getLogs", criteria)
    ]
    assert [place[:2] for place in places()] == sorted(on_chain)
    assert not ParkedLog.objects.exists()


def test_indexer_run_again_adds_nothing(market):
    market.sold_licence()
    assert market.index() > 0
    before = places()
    assert market.index() == 0
    assert places() == before


def test_indexer_in_ranges_and_in_the_window_gives_the_same_rows(market, monkeypatch):
    market.sold_licence()
    market.index()
    before = places()
    market.mine(200)
    indexer = market.indexer()
    monkeypatch.setattr(indexer, "_size", RangeSize(blocks=3))
    index_rebuild(lambda: indexer)
    assert places() == before
    assert Stream.objects.get().next_block == int(market.anvil.rpc("eth_blockNumber"), 16) + 1


def test_indexer_keeps_headers_of_the_unfinalised_window_only(market):
    market.mine(150)
    market.index()
    head = int(market.anvil.rpc("eth_blockNumber"), 16)
    numbers = list(BlockHeader.objects.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(head - 64, head + 1))


def test_indexer_told_that_a_range_is_too_large_asks_for_less(market, monkeypatch):
    market.sold_licence()
    market.mine(100)
    asked = []
    real = market.gateway.logs_in_range

    def picky(addresses, *, first, last):
        asked.append(last - first + 1)
        if last - first + 1 > 5:
            raise RangeTooLarge("at most 5 blocks")
        return real(addresses, first=first, last=last)

    monkeypatch.setitem(vars(market.gateway), "logs_in_range", picky)
    market.index()
    assert len(bought()) == 1
    assert asked[0] > 5
    assert sum(length > 5 for length in asked) < 20, "a refused length is not tried again and again"


def test_indexer_refused_a_single_block_says_that_the_node_is_at_fault(market, monkeypatch):
    market.mine(100)

    def refuse(addresses, *, first, last):
        raise RangeTooLarge("no")

    monkeypatch.setitem(vars(market.gateway), "logs_in_range", refuse)
    with pytest.raises(NodeUnavailable, match="alone"):
        market.index()


def test_range_that_does_not_follow_what_is_indexed_is_refused(market, monkeypatch):
    market.sold_licence()
    market.index()
    market.mine(200)
    # Another endpoint answers, on another branch.
    monkeypatch.setattr(Indexer, "_still_canonical", lambda self, stream, poll: True)
    Stream.objects.update(last_hash="0x" + "ab" * 32)
    indexer = market.indexer()
    with pytest.raises(NodeUnavailable, match="does not follow"):
        indexer.step()
    indexer.close()


def test_handler_gets_the_event_and_its_row_in_chain_order(market):
    seen = []
    handlers.register("LicenceMarket", "PlanAdded", "LicenceBought")(seen.extend)
    _, plan_id, licence_id = market.sold_licence()
    market.index()
    (plan, plan_row), (sale, sale_row) = [(item.event, item.row) for item in seen]
    assert plan.args["terms"]["modelId"] == plan.args["modelId"]
    assert (sale.args["licenceId"], sale.args["price"]) == (licence_id, 1000)
    assert sale.args["planId"] == plan_id
    assert plan_row.pk < sale_row.pk
    assert sale.block_time == sale_row.block_time
    assert sale.tx_hash == sale_row.tx_hash


def test_handler_registered_twice_runs_once(market):
    seen = []

    def handler(events):
        seen.extend(events)

    handlers.register("LicenceMarket", "LicenceBought")(handler)
    handlers.register("LicenceMarket", "LicenceBought")(handler)
    market.sold_licence()
    market.index()
    assert len(seen) == 1


def test_handler_that_fails_stops_the_stream_before_its_block_and_keeps_nothing_of_it(market):
    def broken(events):
        raise ZeroDivisionError

    handlers.register("LicenceMarket", "LicenceBought")(broken)
    market.sold_licence()
    with pytest.raises(HandlerFailed, match=r"LicenceMarket\.LicenceBought in block \d+"):
        market.index()
    sale_block = Stream.objects.get().next_block
    assert sale_block == int(market.anvil.rpc("eth_blockNumber"), 16)
    assert not ChainEvent.objects.filter(block_number=sale_block).exists()
    handlers.unregister(broken)
    market.index()
    assert len(bought()) == 1


def test_handler_that_fails_in_a_range_of_final_blocks_keeps_what_came_before(market):
    def broken(events):
        raise ZeroDivisionError

    handlers.register("LicenceMarket", "LicenceBought")(broken)
    market.sold_licence()
    sale_block = int(market.anvil.rpc("eth_blockNumber"), 16)
    market.mine(200)
    with pytest.raises(HandlerFailed, match=rf"LicenceMarket\.LicenceBought in block {sale_block}"):
        market.index()
    assert Stream.objects.get().next_block == sale_block
    assert ChainEvent.objects.filter(name="PlanAdded").count() == 1
    handlers.unregister(broken)
    market.index()
    assert len(bought()) == 1


def test_handler_gets_the_events_of_many_blocks_at_once(market):
    batches = []
    handlers.register("LicenceMarket", "LicenceBought")(lambda events: batches.append(len(events)))
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    market.mine(200)
    market.index()
    assert batches == [2]


def test_log_that_cannot_be_decoded_is_parked_and_shown_and_the_stream_goes_on(market, monkeypatch):
    real = market.gateway.logs_by_hash

    def with_damage(addresses, *, block_hashes):
        found = real(addresses, block_hashes=block_hashes)
        return [[_damaged(log) if _is_sale(log) else log for log in logs] for logs in found]

    market.sold_licence()
    market.mine()
    with monkeypatch.context() as patch:
        patch.setitem(vars(market.gateway), "logs_by_hash", with_damage)
        market.index()
    parked = ParkedLog.objects.get()
    assert "LicenceBought" in parked.reason
    assert parked.contract == "LicenceMarket"
    assert bought() == []
    assert chain_status().parked_logs == 1
    assert not chain_status().ok

    index_rebuild(market.indexer)
    assert len(bought()) == 1
    assert not ParkedLog.objects.exists()


def test_log_with_an_unknown_topic_is_parked(market, monkeypatch):
    real = market.gateway.logs_by_hash

    def strange(addresses, *, block_hashes):
        found = real(addresses, block_hashes=block_hashes)
        return [[_renamed(log) if _is_sale(log) else log for log in logs] for logs in found]

    market.sold_licence()
    monkeypatch.setitem(vars(market.gateway), "logs_by_hash", strange)
    market.index()
    assert ParkedLog.objects.get().reason == "no event of the interface has this topic"


def test_second_indexer_stands_by_while_the_first_holds_the_lease(market):
    first, second = market.indexer(), market.indexer()
    first.step()
    market.sold_licence()
    step = second.step()
    assert step.standby
    assert bought() == []
    index_to_head(first)
    first.close()
    assert not second.step().standby
    assert len(bought()) == 1


def test_indexer_whose_lease_was_taken_writes_nothing(market):
    market.sold_licence()
    first = market.indexer()
    stream = first._lease_hold()
    heads = market.gateway.heads()
    Stream.objects.update(lease_token=stream.lease_token + 1, lease_owner="somebody else")
    with pytest.raises(LeaseLost):
        store.blocks_append(stream=stream, last=heads.latest, logs=[], heads=heads)
    assert Stream.objects.get().last_block is None
    assert not BlockHeader.objects.exists()


def test_indexing_to_the_head_beside_another_indexer_says_that_it_did_nothing(market):
    first = market.indexer()
    first.step()
    with pytest.raises(LeaseLost, match="at work"):
        index_to_head(market.indexer())
    first.close()


def test_indexer_that_lost_its_lease_stands_by_and_does_not_take_it_back(market):
    first, second = market.indexer(), market.indexer()
    first.step()
    Stream.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second.step()
    assert first.step().standby
    index_to_head(second)
    assert first.step().standby


def test_lease_of_a_dead_process_is_taken_at_once(market):
    first = market.indexer()
    first.step()
    namespace, _, *rest = owner_identity().split("/")
    Stream.objects.update(lease_owner="/".join([namespace, "4194300", *rest]))
    assert not market.indexer().step().standby


def test_lease_of_a_process_with_a_recycled_id_is_taken_at_once(market):
    market.indexer().step()
    namespace, pid, started, salt = owner_identity().split("/")
    Stream.objects.update(lease_owner=f"{namespace}/{pid}/{int(started) - 1}/{salt}")
    assert not market.indexer().step().standby


def test_lease_of_another_machine_is_respected_until_it_runs_out(market):
    market.indexer().step()
    Stream.objects.update(lease_owner="another-boot.pid:[1]/1/1/ffff")
    other = market.indexer()
    assert other.step().standby
    Stream.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert not other.step().standby


def test_indexer_with_other_contracts_in_the_book_starts_again(market):
    market.sold_licence()
    market.index()
    Stream.objects.update(contracts_hash="0x" + "11" * 32)
    market.index()
    assert len(bought()) == 1
    assert Stream.objects.get().contracts_hash == market.book.contracts_hash


def test_chain_with_another_genesis_is_refused_off_development_and_indexed_anew_on_it(market):
    market.sold_licence()
    market.index()
    Stream.objects.update(genesis_hash="0x" + "22" * 32, last_hash="0x" + "33" * 32)
    careful = Indexer(gateway=market.gateway, book=market.book, development=False)
    with pytest.raises(FinalityViolated, match="reindex"):
        careful.step()
    assert len(bought()) == 1
    careful.close()
    market.index()
    assert len(bought()) == 1
    assert Stream.objects.get().genesis_hash == market.anvil.rpc("eth_getBlockByNumber", "0x0", False)["hash"]


def test_loop_that_cannot_even_begin_says_why_in_the_status(market):
    def cannot():
        raise NodeUnavailable("The node at endpoint 1 does not answer (ConnectionError).")

    class Once:
        done = False

        def is_set(self):
            return self.done

        def wait(self, seconds):
            self.done = True

    index_forever(cannot, chain_id=31337, stop=Once(), poll_s=0.5)
    assert chain_status().error_code == "chain.node_unavailable"
    market.sold_licence()
    market.index()
    assert chain_status().ok, "the row that was made for the report starts where the contracts do"
    assert len(bought()) == 1


def test_loop_reports_a_dead_node_in_the_status_and_goes_on_when_it_answers(market, monkeypatch):
    stop, said = threading.Event(), []
    real = market.gateway.poll
    calls = iter(range(100))

    def flaky(next_block):
        if next(calls) in {1, 2}:
            raise NodeUnavailable("The node at endpoint 1 does not answer (ConnectionError).")
        return real(next_block)

    class Pace:
        """Stands for the Event: notes the pause instead of sleeping, and ends the loop."""

        def is_set(self):
            return stop.is_set()

        def wait(self, seconds):
            said.append((seconds, chain_status().error_code))
            if len(said) == 8:
                stop.set()

    monkeypatch.setitem(vars(market.gateway), "poll", flaky)
    index_forever(market.indexer, chain_id=31337, stop=Pace(), poll_s=0.5)
    errors = [pause for pause, code in said if code == "chain.node_unavailable"]
    assert errors[:2] == [1.0, 2.0], "each failure doubles the pause"
    assert said[-1][1] == ""
    assert Stream.objects.get().lease_owner == "", "the lease is given back at the end"


def _is_sale(log) -> bool:
    return log.topics[0] == _topic("LicenceBought")


def _topic(name: str) -> str:
    return next(topic for topic, event in abi.artefact("LicenceMarket").events.items() if event.name == name)


def _damaged(log):
    return replace(log, data=log.data[:40])


def _renamed(log):
    return replace(log, topics=("0x" + "ab" * 32, *log.topics[1:]))
