"""A chain for each of these tests alone: deep re-orgs leave a node's snapshots in a state that others must not meet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.gateway.jsonrpc import JsonRpcGateway
from tests.fixtures.contracts import Market, contracts_deploy
from tests.fixtures.processes import start_anvil
from tools.demo.ports import free_port


@pytest.fixture
def market(contracts_book, tmp_path: Path) -> Iterator[Market]:
    node = start_anvil(port=free_port(), directory=tmp_path)
    gateway = JsonRpcGateway([node.url], chain_id=contracts_book.chain_id)
    book = contracts_deploy(gateway, tmp_path / "deployments")
    # The same accounts deploy in the same order, so that the settings' address book serves this chain as well.
    assert book.contracts == contracts_book.contracts
    yield Market(node, book, gateway)
    node.spawned.kill()
