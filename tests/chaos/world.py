"""A chain, nodes and indexers to which bad things happen, and the check that nothing came of it."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError

from chain import transactions
from chain.abi import call_encode
from chain.audit.run import audit_run
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.indexer import store
from chain.indexer.run import Indexer, index_to_head
from chain.models import ChainEvent, Stream
from chain.transactions import call_data
from tests.chaos import node as nodes
from tests.chaos.node import FaultyNode
from tests.fixtures.processes import Anvil, start_anvil
from tools.demo.ports import free_port

# Every place between two statements of a step at which a process can die.
POINTS = (
    "indexer.logs_fetched",
    "indexer.cursor_moved",
    "indexer.events_inserted",
    "indexer.logs_stored",
    "indexer.in_block",
    "indexer.between_blocks",
    "indexer.cursor_moved_back",
    "indexer.rows_deleted",
)


class Crash(BaseException):
    """The process died here: nothing may catch it, and nothing after it runs."""


@dataclass
class World:
    """Two indexers over two nodes of one chain. Each `fault_*` method is one bad thing."""

    market: Any
    near: FaultyNode
    far: FaultyNode
    seed: int
    rng: random.Random
    patch: pytest.MonkeyPatch
    directory: Path
    plan_id: int = 0
    indexers: list[Indexer] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.plan_id = self.market.add_plan(self.market.publish(), supply=1_000_000, flags=1 | 4)
        self.market.mine(100)
        self.indexers = [self._indexer(), self._indexer()]

    def faults(self) -> list[Callable[[], None]]:
        """Every bad thing, the chain's own as often as all others together."""
        chain = [self.reorg_drop, self.reorg_deep, self.reorg_move, self.out_and_back, self.added_to_empty]
        others = [
            *(self.bad_answers, self.bad_answers, self.lagging_node, self.shorter_chain, self.crash, self.crash),
            *(self.clock_jump, self.two_at_once, self.reorg_in_flight, self.reorg_in_catch_up),
        ]
        return [*chain, *chain, *others]

    # What people do.

    def activity(self) -> None:
        for _ in range(self.rng.randint(0, 3)):
            action = self.rng.choice(["buy", "buy", "publish", "mine", "transfer"])
            if action == "buy":
                self.market.buy(self.plan_id, by=self.rng.choice([self.market.buyer, self.market.outsider]))
            elif action == "publish":
                self.market.publish(self.rng.randbytes(32))
            elif action == "transfer":
                licence_id, buyer = self.market.buy(self.plan_id), self.market.buyer
                args = [buyer, self.market.outsider, licence_id]
                self.market.send("LicenceMarket", "transferFrom", args, by=buyer)
            else:
                self.market.mine(self.rng.randint(1, 4))

    # What the chain does.

    def reorg_drop(self) -> None:
        self.market.buy(self.plan_id)
        self.steps()
        self.market.anvil.rpc("anvil_reorg", self.rng.choice([1, 2, 5, 9]), [])

    def reorg_deep(self) -> None:
        self.steps()
        self.market.anvil.rpc("anvil_reorg", 60, [])

    def reorg_move(self) -> None:
        """A purchase comes back in another block, behind other logs."""
        raw = [self._signed_purchase() for _ in range(2)]
        self.market.anvil.rpc("eth_sendRawTransaction", raw[0])
        self.market.mine(2)
        self.steps()
        self.market.anvil.rpc("anvil_rollback", 3)
        self.market.publish(self.rng.randbytes(32))
        self._send_again(raw[0])
        self.market.mine(self.rng.randint(0, 3))

    def out_and_back(self) -> None:
        """The nodes follow another branch for a while, and come back to the very same blocks."""
        self.market.buy(self.plan_id)
        self.steps()
        head = int(self.market.anvil.rpc("eth_blockNumber"), 16)
        with self._branch_from(head - self.rng.randint(1, 3)) as branch:
            for node in (self.near, self.far):
                node.upstream = branch.url
            publish = {"to": self.market.book.contract("ModelRegistry").address, "gas": hex(1_000_000)}
            publish |= {
                "from": self.market.outsider,
                "data": call_encode("ModelRegistry", "publish", [b"\x09" * 32, [], 0]),
            }
            for _ in range(self.rng.randint(1, 5)):
                branch.rpc("eth_sendTransaction", publish)
            self.steps(6)
        for node in (self.near, self.far):
            node.upstream = self.market.anvil.url
        self.steps()

    @contextlib.contextmanager
    def _branch_from(self, number: int) -> Iterator[Anvil]:
        """A second node of the chain as it was at block `number`."""
        arguments = ["--fork-url", self.market.anvil.url, "--fork-block-number", str(number), "--no-rate-limit"]
        node = start_anvil(port=free_port(), directory=self.directory, arguments=arguments)
        try:
            yield node
        finally:
            node.spawned.kill()

    def added_to_empty(self) -> None:
        """A block that was empty gets a purchase, at the same height."""
        self.market.mine(2)
        self.steps()
        self.market.anvil.rpc("anvil_rollback", 2)
        self.market.buy(self.plan_id)
        self.market.mine()

    def shorter_chain(self) -> None:
        self.market.buy(self.plan_id)
        self.steps()
        self.market.anvil.rpc("anvil_rollback", 1)
        self.steps()
        self.market.mine()

    # What nodes do.

    def bad_answers(self) -> None:
        self.activity()
        for node in (self.near, self.far):
            node.faults.extend(nodes.any_fault(self.rng) for _ in range(self.rng.randint(1, 3)))
        self.steps()

    def lagging_node(self) -> None:
        self.activity()
        self.steps()
        self.near.lag = self.rng.randint(1, 8)
        self.steps()
        self.near.faults.append(nodes.failing)
        self.steps()

    def reorg_in_flight(self) -> None:
        """The branch changes between two requests of one step, at or below what is indexed."""
        for _ in range(2):
            self.market.buy(self.plan_id)
        self.steps()
        self.market.buy(self.plan_id)
        quiet = [_nothing] * self.rng.randint(0, 3)
        self.near.before.extend([*quiet, lambda: self.market.anvil.rpc("anvil_reorg", self.rng.randint(1, 4), [])])
        self.steps()

    def reorg_in_catch_up(self) -> None:
        self.market.mine(self.rng.randint(20, 90))
        self.market.buy(self.plan_id)
        self.market.mine(3)
        quiet = [_nothing] * self.rng.randint(1, 6)
        self.near.before.extend([*quiet, lambda: self.market.anvil.rpc("anvil_reorg", self.rng.randint(1, 20), [])])
        self.steps(6)

    # What machines do.

    def crash(self) -> None:
        """The process dies at a point of a step, and another one starts."""
        point = self.rng.choice(POINTS)
        self.log.append(point)
        self.activity()
        if point in {"indexer.cursor_moved_back", "indexer.rows_deleted"}:
            self.steps()
            self.market.anvil.rpc("anvil_reorg", 2, [])

        def die(name: str) -> None:
            if name == point:
                raise Crash

        with self.patch.context() as patch:
            patch.setattr("chain.indexer.store.fault_point", die)
            patch.setattr("chain.indexer.run.fault_point", die)
            with contextlib.suppress(Crash):
                self.steps(4)
        # Nobody gave the lease back.
        self.indexers[0] = self._indexer()
        Stream.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    def two_at_once(self) -> None:
        """One indexer is stopped for longer than its lease in the middle of a step, and then goes on."""
        first, second = self.indexers
        self.activity()
        with contextlib.suppress(WeighhouseError):
            first.step()
        stream = first._lease_hold()
        Stream.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        with contextlib.suppress(WeighhouseError):
            second.step()
        self.market.buy(self.plan_id)
        if stream is not None:
            heads = self.market.gateway.heads()
            with contextlib.suppress(WeighhouseError):
                store.blocks_append(stream=stream, last=heads.latest, logs=[], heads=heads)

    def clock_jump(self) -> None:
        self.activity()
        now, jump = timezone.now, timedelta(hours=self.rng.choice([-30, -1, 1, 30]))
        with self.patch.context() as patch:
            patch.setattr("django.utils.timezone.now", lambda: now() + jump)
            self.steps(4)

    # How it ends.

    def steps(self, count: int = 3) -> None:
        """Some steps by either indexer, whatever they raise."""
        for _ in range(self.rng.randint(1, count)):
            with contextlib.suppress(WeighhouseError, DatabaseError):
                self.rng.choice(self.indexers).step()

    def settle(self) -> None:
        """All is well again: one block more, and the index has to follow."""
        self.near.heal()
        self.far.heal()
        # Longer than before, also after a branch that was shorter: what was final stays so.
        self.market.mine(self.rng.randint(3, 5))
        for indexer in self.indexers:
            indexer.close()
        self.indexers = [self._indexer(), self._indexer()]
        Stream.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        index_to_head(self.indexers[0])

    def check(self) -> None:
        """Exactly once, in the chain's order, and nothing else; and the audit finds no difference."""
        addresses = [self.market.book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")]
        first = hex(self.market.book.deployed_at_block)
        logs = self.market.anvil.rpc("eth_getLogs", {"address": addresses, "fromBlock": first, "toBlock": "latest"})
        on_chain = sorted((int(log["blockNumber"], 16), int(log["logIndex"], 16), log["blockHash"]) for log in logs)
        rows = ChainEvent.objects.order_by("id").values_list("block_number", "log_index", "block_hash")
        missing, extra = set(on_chain) - set(rows), set(rows) - set(on_chain)
        assert list(rows) == on_chain, f"not indexed: {sorted(missing)[:3]}, not on chain: {sorted(extra)[:3]}"
        report = audit_run(block="latest", gateway=self.market.gateway, book=self.market.book)
        assert not report.differences, str(report.differences[0])

    def _indexer(self) -> Indexer:
        urls = [self.near.url, self.far.url]
        gateway = JsonRpcGateway(urls, chain_id=self.market.book.chain_id, timeout_s=5)
        return Indexer(gateway=gateway, book=self.market.book, development=False)

    def _signed_purchase(self) -> str:
        plan_hash = self.market.read("LicenceMarket", "planHash", [self.plan_id])
        args = [self.plan_id, plan_hash, self.market.buyer]
        request = call_data("LicenceMarket", "buy", args, value=1000)
        return transactions.sign(self.market.keys[self.market.buyer], request, gateway=self.market.gateway).raw

    def _send_again(self, raw: str) -> None:
        with contextlib.suppress(AssertionError):
            self.market.anvil.rpc("eth_sendRawTransaction", raw)


def _nothing() -> None:
    pass


@contextlib.contextmanager
def world_of(market: Any, patch: pytest.MonkeyPatch, directory: Path, *, seed: int) -> Iterator[World]:
    with nodes.faulty_node(market.anvil.url) as near, nodes.faulty_node(market.anvil.url) as far:
        world = World(market, near, far, seed, random.Random(seed), patch, directory)
        world.begin()
        yield world
