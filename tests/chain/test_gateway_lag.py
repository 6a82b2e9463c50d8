"""The indexer behind two endpoints of which one lags: a lower head is no re-org, and no log is missed."""

import contextlib
from typing import Any

import pytest

from chain.gateway.errors import NodeBehind, NodeUnavailable
from chain.gateway.health import HealthBook
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.indexer.run import Indexer, index_to_head
from chain.models import ChainEvent
from tests.chain.nodes import Node, gateway_to
from tests.chain.test_gateway_health import Clock, wait_until_probed

pytestmark = pytest.mark.django_db


class View:
    """A node's view of the real chain: the newest `behind` blocks have not reached it."""

    def __init__(self, node: Node, anvil: Any) -> None:
        self.node = node
        self.anvil = anvil
        self.behind = 0
        self.down_from = ""
        node.reply = self.reply

    @property
    def head(self) -> int:
        return int(self.anvil.rpc("eth_blockNumber"), 16) - self.behind

    def reply(self, method: str, params: list[Any]) -> Any:
        if self.down_from and method == self.down_from:
            self.down(True)
        if self.node.status != 200:
            return {"error": {"code": -32603, "message": "internal error"}}
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            params = [hex(self.head), False]
        answer = self.anvil.rpc(method, *params)
        if method.startswith("eth_getBlockBy"):
            return answer if answer and int(answer["number"], 16) <= self.head else None
        if method == "eth_getLogs":
            # As real nodes do it: what they do not have is left out without a word.
            return [log for log in answer if int(log["blockNumber"], 16) <= self.head]
        return answer

    def down(self, is_down: bool) -> None:
        self.node.status = 502 if is_down else 200
        self.down_from = "" if is_down else self.down_from


@pytest.fixture
def views(make_node, market) -> tuple[View, View]:
    return View(make_node(), market.anvil), View(make_node(), market.anvil)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gateway(views, clock) -> JsonRpcGateway:
    return gateway_to(
        *(view.node for view in views), health=HealthBook(2, clock=clock, wall_clock=clock.wall), timeout_s=5
    )


@pytest.fixture
def indexer(gateway, market):
    careful = Indexer(gateway=gateway, book=market.book, development=False)
    yield careful
    careful.close()


def places() -> list[tuple[int, int, str]]:
    return list(ChainEvent.objects.order_by("id").values_list("block_number", "log_index", "block_hash"))


def logs_of(market) -> list[tuple[int, int, str]]:
    addresses = [market.book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")]
    criteria = {"address": addresses, "fromBlock": hex(market.book.deployed_at_block), "toBlock": "latest"}
    return sorted(
        (int(log["blockNumber"], 16), int(log["logIndex"], 16), log["blockHash"])
        for log in market.anvil.rpc("eth_getLogs", criteria)
    )


def test_lower_head_of_the_other_endpoint_is_no_reorg(market, views, gateway, indexer, clock):
    first, second = views
    second.behind = 3
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    index_to_head(indexer)
    before = places()
    wait_until_probed(gateway)
    first.down(True)
    assert gateway.heads().latest.number == second.head
    with pytest.raises(NodeBehind):
        indexer.step()
    assert places() == before
    second.behind = 0
    market.buy(plan_id)
    index_to_head(indexer)
    assert places()[: len(before)] == before
    assert len(places()) > len(before)


def test_endpoint_that_comes_back_is_used_again_and_nothing_was_removed(market, views, gateway, indexer, clock):
    first, second = views
    second.behind = 5
    _, plan_id, _ = market.sold_licence()
    index_to_head(indexer)
    before = places()
    wait_until_probed(gateway)
    first.down(True)
    with pytest.raises(NodeBehind):
        indexer.step()
    wait_until_probed(gateway)
    first.down(False)
    market.buy(plan_id)
    clock.now += 2
    # The probe runs beside this step and may end before it does.
    with contextlib.suppress(NodeBehind):
        indexer.step()
    wait_until_probed(gateway)
    index_to_head(indexer)
    assert places()[: len(before)] == before
    assert places()[-1][0] == first.head


@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByHash"])
def test_endpoint_lost_in_the_middle_of_a_step_leaves_no_gap(market, views, gateway, indexer, clock, method):
    first, second = views
    second.behind = 1
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    first.down_from = method
    with contextlib.suppress(NodeBehind, NodeUnavailable):
        index_to_head(indexer)
    assert first.node.status == 502
    assert len(places()) < len(logs_of(market))
    wait_until_probed(gateway)
    first.down(False)
    clock.now += 2
    second.behind = 0
    index_to_head(indexer)
    assert places() == logs_of(market)
