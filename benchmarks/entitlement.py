"""What a licence check costs, and how many requests the node gets: shared as the site does, and each on its own.

`.venv/bin/python -m benchmarks.entitlement [--callers 200] [--processes 2] [--rounds 10]`. It starts a chain and a
broker of its own, sells licences, and lets callers in several processes ask at once, each about another licence, at one
new block per round. Three ways are measured alternately in one run: shared by all processes, shared without joining the
questions of threads, and each caller asking the node on its own. Ratios and counts hold on any machine; times are this
machine's.
"""
# ruff: noqa: E402 - Django comes first.

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.parse import urlsplit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.conf import settings

from chain import entitlements, selectors
from chain.bindings.structs import Roles
from chain.deployment import Deployer
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.entitlements import shared
from chain.entitlements.cache import broker_cache
from chain.gateway import get_gateway
from tests.fixtures.contracts import Market
from tests.fixtures.nodes import CountedNode
from tests.fixtures.processes import Anvil, start_anvil, start_process
from tools.demo import binaries, ports

# Longer than a round: within one, the head is learnt once. The site's own age would only add heads.
HEAD_AGE_S = 60.0
WAYS = ("shared", "not joined", "alone")


def shared_check(licence_id: int) -> bool:
    return entitlements.licence_states([licence_id])[licence_id].is_valid


def alone_check(licence_id: int) -> bool:
    return selectors.licence_states([licence_id])[licence_id].is_valid


def not_joined(place: shared._Place) -> object:
    return type("NotJoined", (), {"ask": staticmethod(place.ask)})


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def child(node_url: str, first: int, count: int) -> None:
    """Wait for `way` on a line of stdin, let `count` threads check a licence each, print their times in ms."""
    settings.RPC_URLS, settings.HEAD_MAX_AGE_S = [node_url], HEAD_AGE_S
    joined = shared._joined
    with ThreadPoolExecutor(count) as threads:
        print("ready", flush=True)
        for line in sys.stdin:
            shared._joined = not_joined if line.strip() == "not joined" else joined
            check = alone_check if line.strip() == "alone" else shared_check
            together = Barrier(count)

            def ask(place: int, check=check, together=together) -> float:
                together.wait()
                return timed(lambda: check(first + place))

            print(*(f"{spent:.3f}" for spent in threads.map(ask, range(count))), flush=True)


def site_start(directory: Path) -> tuple[Anvil, subprocess.Popen]:
    chain_port, broker_port = urlsplit(settings.RPC_URLS[0]).port, urlsplit(settings.BROKER_URL).port
    anvil = start_anvil(port=chain_port, directory=directory)
    argv = [binaries.broker(), "--bind", "127.0.0.1", "--port", str(broker_port), "--save", "", "--appendonly", "no"]
    broker = start_process("broker", argv, directory=directory)
    broker.wait_until(lambda: ports.listens(broker.pid, broker_port), what="listening")
    return anvil, broker


def licences_sell(anvil: Anvil, count: int) -> tuple[Market, int]:
    """A market with `count` licences of one plan, ids in a row. The first of them."""
    accounts = [account.address for account in DEVELOPMENT_ACCOUNTS]
    roles = Roles(admin=accounts[0], guardian=accounts[4], pauser=accounts[8], treasury=accounts[9])
    key, gateway = DEVELOPMENT_ACCOUNTS[0].key, get_gateway()
    deployer = Deployer(
        gateway, settings.ADDRESS_BOOK_DIR, key=key, roles=roles, development=True, say=lambda _text: None
    )
    market = Market(anvil, deployer.contracts_deploy(), gateway)
    plan_id = market.add_plan(market.publish(), supply=count, operatorId=0)
    return market, min(market.buy(plan_id) for _ in range(count))


def block_new(market: Market) -> None:
    """A block that no process has heard of."""
    market.mine()
    broker_cache().drop([shared.prefix(market.book) + ":head"])


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


def alone_table(market: Market, licence_id: int, rounds: int) -> None:
    """One caller: a check that finds everything in the broker, and one that is the first of its block."""
    settings.HEAD_MAX_AGE_S = HEAD_AGE_S
    warm, cold, direct = [], [], []
    for _ in range(rounds * 20):
        block_new(market)
        cold.append(timed(lambda: shared_check(licence_id)))
        warm.append(timed(lambda: shared_check(licence_id)))
        direct.append(timed(lambda: alone_check(licence_id)))
    print(f"\n{f'one caller, {len(warm)} rounds':<44} {'p50':>8} {'p99':>8}   ms")
    for name, times in (
        ("warm: head and state from the broker", warm),
        ("cold: first of its block, broker included", cold),
    ):
        print(f"{name:<44} {statistics.median(times):8.2f} {percentile(times, 0.99):8.2f}")
    print(
        f"{'alone: head and state from the node':<44} {statistics.median(direct):8.2f} {percentile(direct, 0.99):8.2f}"
    )


def crowd_table(
    market: Market, node: CountedNode, children: list[subprocess.Popen], *, rounds: int, callers: int
) -> None:
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    counts: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            block_new(market)
            node.forget()
            for process in children:
                process.stdin.write(f"{way}\n")
                process.stdin.flush()
            for process in children:
                times[way] += [float(text) for text in process.stdout.readline().split()]
            counts[way].update(node.counts)
    title = f"{callers} callers in {len(children)} processes, a block each"
    print(f"\n{title:<44} {'p50':>8} {'p99':>8}   ms  {'heads':>7} {'calls':>7}   a block")
    for way in WAYS:
        heads, calls = (counts[way][method] / rounds for method in ("eth_getBlockByNumber", "eth_call"))
        middle, late = statistics.median(times[way]), percentile(times[way], 0.99)
        print(f"{way:<44} {middle:8.2f} {late:8.2f}       {heads:7.1f} {calls:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], *map(int, options.child[1:]))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    anvil, broker = site_start(Path(tempfile.mkdtemp(dir=settings.VAR_DIR)))
    node = CountedNode(anvil.url)
    each = options.callers // options.processes
    market, first = licences_sell(anvil, options.callers)
    alone_table(market, first, options.rounds)
    argv = [sys.executable, "-m", "benchmarks.entitlement", "--child", node.url]
    children = [
        subprocess.Popen(
            [*argv, str(first + place * each), str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for place in range(options.processes)
    ]
    try:
        for process in children:
            assert process.stdout.readline() == "ready\n"
        crowd_table(market, node, children, rounds=options.rounds, callers=each * options.processes)
    finally:
        for process in children:
            process.kill()
            process.wait()
        node.close()
        broker.stop()
        anvil.spawned.stop()


if __name__ == "__main__":
    main()
