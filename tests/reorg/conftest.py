"""What re-org tests compare: the index with the node's own logs, and everything made of them with the contracts."""

import pytest

from chain.audit.run import LATEST, audit_run
from chain.gateway.errors import NodeUnavailable
from chain.models import ChainEvent


@pytest.fixture
def assert_index_equals_chain(market):
    """Every log of the indexed contracts is in the database once, nothing else is, and the order is the chain's."""

    def check() -> None:
        addresses = [market.book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")]
        criteria = {"address": addresses, "fromBlock": hex(market.book.deployed_at_block), "toBlock": "latest"}
        logs = market.anvil.rpc("eth_getLogs", criteria)
        on_chain = sorted((int(log["blockNumber"], 16), int(log["logIndex"], 16), log["blockHash"]) for log in logs)
        rows = ChainEvent.objects.order_by("id").values_list("block_number", "log_index", "block_hash")
        assert list(rows) == on_chain

    return check


@pytest.fixture
def assert_audit_equal(market):
    """The audit of the newest block finds no difference between the database and the chain."""

    def check() -> None:
        try:
            report = audit_run(block=LATEST, gateway=market.gateway)
        except NodeUnavailable:
            # anvil sometimes has no state for a block that it made in the place of another. It has for the next one.
            market.mine()
            market.index()
            report = audit_run(block=LATEST, gateway=market.gateway)
        assert [str(difference) for difference in report.differences] == []

    return check
