"""A plan on sale on the test chain, and a node of it that forgets."""

from collections.abc import Sequence
from typing import Any

import pytest

from chain.gateway.classify import error_name
from chain.gateway.jsonrpc import Call, JsonRpcGateway
from tests.fixtures.contracts import Market


@pytest.fixture
def plan_id(market: Market) -> int:
    return market.add_plan(market.publish())


class PrunedNode:
    """The test chain's node, which from `start` on has the state of the newest block alone, as geth says it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._real = JsonRpcGateway.request_many

    def start(self) -> None:
        real = self._real

        def request_many(gateway: JsonRpcGateway, calls: Sequence[Call]) -> list[Any]:
            answers = real(gateway, calls)
            return [_pruned(call, answer) for call, answer in zip(calls, answers, strict=True)]

        self._patch.setattr(JsonRpcGateway, "request_many", request_many)

    def stop(self) -> None:
        self._patch.setattr(JsonRpcGateway, "request_many", self._real)


def _pruned(call: Call, answer: Any) -> Any:
    method, params = call
    if method != "eth_getTransactionCount" or params[1] in ("latest", "pending"):
        return answer
    return error_name(
        {"code": -32000, "message": "missing trie node 9f3c (path ) state is not available"}, method=method
    )


@pytest.fixture
def pruned_node(monkeypatch: pytest.MonkeyPatch) -> PrunedNode:
    return PrunedNode(monkeypatch)
