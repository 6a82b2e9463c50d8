"""The parts of benchmarks/indexer.py. The environment names chain, database and directory before this is imported."""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from benchmarks.history import History, contracts_deploy  # noqa: E402
from chain import abi, bulk, handlers  # noqa: E402
from chain.address_book import AddressBook, book_write  # noqa: E402
from chain.gateway import get_gateway  # noqa: E402
from chain.gateway.jsonrpc import JsonRpcGateway  # noqa: E402
from chain.handlers import DecodedEvent, IndexedEvent  # noqa: E402
from chain.indexer.build import indexer_build  # noqa: E402
from chain.indexer.run import Indexer, index_to_head  # noqa: E402
from chain.indexer.scan import args_json  # noqa: E402
from chain.models import ChainEvent, Stream  # noqa: E402

# The range in which web3.py is asked for logs.
COMPARED_BLOCKS = 100


@contextmanager
def chain_of(logs: int, directory: Path) -> Iterator[History]:
    """A development chain with so many logs, gone afterwards."""
    with _node(directory, "--gas-limit", str(10**12), "--base-fee", "0") as url:
        book = contracts_deploy(get_gateway(), Path(settings.ADDRESS_BOOK_DIR))
        get_gateway().request("evm_setAutomine", [False])
        history = History(url, book)
        history.grow(logs)
        yield history


@contextmanager
def _node(directory: Path, *arguments: str) -> Iterator[str]:
    """A node and a broker, which die with this process. New releases are put into a queue that nobody works off."""
    # Here, because the parts that are measured do without what these import.
    from tests.fixtures.processes import start_anvil, start_broker  # noqa: PLC0415

    (url,) = settings.RPC_URLS
    node = start_anvil(port=int(url.rpartition(":")[2]), directory=directory, arguments=arguments)
    broker = start_broker(port=urlsplit(settings.BROKER_URL).port or 0, directory=directory, cwd=directory)
    try:
        yield url
    finally:
        node.spawned.stop()
        broker.stop()


def ours() -> dict[str, Any]:
    """Index the whole chain."""
    _database_fresh()
    base = _peak_mb()
    started = time.perf_counter()
    indexer = indexer_build()
    index_to_head(indexer)
    seconds = time.perf_counter() - started
    indexer.close()
    return {"logs": ChainEvent.objects.count(), "seconds": seconds, "peak_mb": _peak_mb(), "base_mb": base}


def compared(wanted: int) -> dict[str, Any]:
    """The same rows for the first `wanted` logs, by web3.py and `save()`."""
    from web3 import Web3  # noqa: PLC0415 - ours does without

    _database_fresh()
    _rows_saved_one_by_one()
    book = indexer_build().book
    started = time.perf_counter()
    node = Web3(Web3.HTTPProvider(settings.RPC_URLS[0]))
    kinds = {
        book.contract(name).address: (name, node.eth.contract(abi=abi.artefact(name).abi))
        for name in abi.INDEXED_CONTRACTS
    }
    done, first, head = 0, book.deployed_at_block, node.eth.block_number
    while done < wanted and first <= head:
        last = min(first + COMPARED_BLOCKS - 1, head)
        for log in node.eth.get_logs({"address": list(kinds), "fromBlock": first, "toBlock": last}):
            name, contract = kinds[log["address"]]
            _saved(name, _decoded(name, contract, log), node.eth.get_block(log["blockNumber"])["timestamp"])
            done += 1
        first = last + 1
    return {"logs": done, "seconds": time.perf_counter() - started, "peak_mb": _peak_mb()}


def _decoded(name: str, contract: Any, log: Any) -> Any:
    kind = abi.artefact(name).events["0x" + log["topics"][0].hex()]
    return contract.events[kind.name]().process_log(log)


def _saved(contract: str, found: Any, timestamp: int) -> None:
    """One event's row and what the handlers make of it, each row saved, in one transaction."""
    kind = next(event for event in abi.artefact(contract).events.values() if event.name == found["event"])
    args = {name: _plain(value) for name, value in zip(kind.order, found["args"].values(), strict=True)}
    block_time = datetime.fromtimestamp(timestamp, tz=UTC)
    tx_hash = "0x" + found["transactionHash"].hex()
    with transaction.atomic():
        row = ChainEvent(
            chain_id=settings.CHAIN_ID,
            block_number=found["blockNumber"],
            block_hash="0x" + found["blockHash"].hex(),
            block_time=block_time,
            tx_hash=tx_hash,
            tx_index=found["transactionIndex"],
            log_index=found["logIndex"],
            address=found["address"],
            contract=contract,
            name=kind.name,
            args=args_json(args),
        )
        row.save()
        event = DecodedEvent(contract, kind.name, args, found["blockNumber"], block_time, tx_hash, found["logIndex"])
        handlers.dispatch([IndexedEvent(event, row)])


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _rows_saved_one_by_one() -> None:
    def rows_save(rows: Any, **_unique: Any) -> None:
        for row in rows:
            row.save()

    def fields_save(model: Any, rows: Any) -> None:
        rows_save(model(**row) for row in rows)

    for name, instead in (("rows_insert", rows_save), ("fields_insert", fields_save)):
        ours = getattr(bulk, name)
        for module in list(sys.modules.values()):
            if getattr(module, name, None) is ours:
                setattr(module, name, instead)


def follow(blocks: int, directory: Path) -> dict[str, Any]:
    """Follow a chain with a block a second; in each other block somebody publishes a model."""
    with _node(directory) as url:
        book = contracts_deploy(get_gateway(), directory)
        with closing(_Followed(url, book)) as followed:
            delays = followed.measure(blocks)
        return {"delays_ms": delays, "requests_per_empty_block": _requests_per_empty_block(url, book)}


def _requests_per_empty_block(url: str, book: AddressBook, blocks: int = 20) -> float:
    """Requests that the node sees from one block without events to the next."""
    from tests.chaos.node import faulty_node  # noqa: PLC0415

    with faulty_node(url) as counted:
        gateway = JsonRpcGateway([counted.url], chain_id=settings.CHAIN_ID)
        indexer = Indexer(gateway=gateway, book=book, development=True)
        index_to_head(indexer)
        before = counted.requests_seen
        for _ in range(blocks):
            get_gateway().request("anvil_mine", ["0x1"])
            index_to_head(indexer)
        indexer.close()
        return (counted.requests_seen - before) / blocks


class _Followed:
    """A running `index_chain`, and a node whose blocks are timed."""

    def __init__(self, url: str, book: AddressBook) -> None:
        book_write(Path(settings.ADDRESS_BOOK_DIR), book)
        _database_fresh()
        self.history = History(url, book)
        self.process = subprocess.Popen([sys.executable, "manage.py", "index_chain"], stdout=subprocess.DEVNULL)
        while not Stream.objects.filter(last_block__isnull=False).exists():
            time.sleep(0.05)

    def measure(self, blocks: int) -> list[float]:
        """Milliseconds from the node's answer that a block is there to its events in the read models."""
        delays = []
        for _ in range(blocks):
            started = time.monotonic()
            self.history.publish()
            mined = time.monotonic()
            expected = self.history.models
            while ChainEvent.objects.filter(name="ModelPublished").count() < expected:
                time.sleep(0.002)
            delays.append((time.monotonic() - mined) * 1000)
            # Somewhere within the second, so that no poll falls in step with the blocks.
            time.sleep(max(0.0, 1.0 + random.uniform(-0.2, 0.2) - (time.monotonic() - started)))
        return delays

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def _database_fresh() -> None:
    """All tables, empty."""
    call_command("flush" if _has_tables() else "migrate", interactive=False, verbosity=0)


def _has_tables() -> bool:
    return Stream._meta.db_table in connection.introspection.table_names()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(ours() if sys.argv[1] == "ours" else compared(int(sys.argv[2]))))
