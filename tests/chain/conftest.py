"""The chain layer is tested without the apps above: their handlers have tests of their own."""

from collections.abc import Callable, Iterator

import pytest

from chain import handlers
from tests.chain.nodes import Node


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch):
    """An empty table; what a test registers goes into it and is gone afterwards."""
    monkeypatch.setattr(handlers, "_handlers", {})
    monkeypatch.setattr(handlers, "_repairs", {})


@pytest.fixture
def make_node() -> Iterator[Callable[[], Node]]:
    nodes: list[Node] = []

    def make() -> Node:
        nodes.append(Node())
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(make_node) -> Node:
    return make_node()
