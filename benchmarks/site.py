"""A whole site for a benchmark: the one of `make demo` in a directory of its own, with buyers who hold licences."""
# ruff: noqa: PLC0415 - the site's settings come before Django.

import contextlib
import os
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.fixtures.stack import Stack, await_stack, launch_stack

CALLS = 1_000_000
ENDED = ("succeeded", "failed", "cancelled", "expired")


@dataclass(frozen=True)
class Holder:
    """An account with an API key and one metered licence."""

    address: str
    key: str
    licence_id: int


@contextlib.contextmanager
def site() -> Iterator[Stack]:
    """A site with the sample models. From here on Django runs in this process, on the site's database and chain."""
    with tempfile.TemporaryDirectory(prefix="weighhouse-site-") as directory:
        stack = await_stack(launch_stack(Path(directory)))
        try:
            os.environ.update(stack.environment)
            import django

            django.setup()
            yield stack
        finally:
            stack.stop()


def holders_make(stack: Stack, count: int, *, task: str = "feature-extraction") -> tuple[int, list[Holder]]:
    """The sample model of a task, and who holds its licences."""
    from django.conf import settings
    from eth_account import Account as Wallet

    from chain import abi
    from chain.address_book import book_read
    from chain.development import DEVELOPMENT_ACCOUNTS
    from chain.gateway import get_gateway
    from marketplace.accounts.models import Account
    from marketplace.accounts.services import api_key_create
    from tests.fixtures.contracts import Market
    from tests.fixtures.processes import Anvil

    gateway = get_gateway()
    market = Market(
        Anvil(stack.rpc_url, stack.spawned), book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID), gateway
    )
    listed = requests.get(f"{stack.site_url}/api/v1/models", timeout=60).json()
    model_id = next(int(model["id"]) for model in listed["results"] if model["task"] == task)
    owner = market.read("ModelRegistry", "ownerOf", [model_id])
    plan_id = market.add_plan(model_id, by=owner, calls=CALLS, supply=count)
    plan_hash = market.read("LicenceMarket", "planHash", [plan_id])
    payer, price = DEVELOPMENT_ACCOUNTS[2].address, 1000
    wallets = [Wallet.create().address for _ in range(count)]
    market_address = market.book.contract("LicenceMarket").address
    hashes = []
    for wallet in wallets:
        data = abi.call_encode("LicenceMarket", "buy", [plan_id, plan_hash, wallet])
        sent = {"from": payer, "to": market_address, "data": data, "value": hex(price), "gas": hex(1_000_000)}
        hashes.append(gateway.request("eth_sendTransaction", [sent]))
    holders = []
    for wallet, tx_hash in zip(wallets, hashes, strict=True):
        market.anvil.mined(tx_hash)
        (bought,) = [event for event in market.events(tx_hash) if event["name"] == "LicenceBought"]
        account, _ = Account.objects.get_or_create(address=wallet)
        _, key = api_key_create(account=account, name="load", scopes=["run"])
        holders.append(Holder(wallet, key, int(bought["licenceId"])))
    return model_id, holders


class MemoryWatch:
    """What each part of the site holds, by time."""

    def __init__(self, stack: Stack, *, every_s: float = 10.0) -> None:
        self._stack, self._every_s = stack, every_s
        self._done = threading.Event()
        self._began = time.monotonic()
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._every_s):
            held: Counter[str] = Counter()
            for pid in _with_descendants(self._stack.processes()):
                held[_part_of(pid)] += _pss(pid)
            at = time.monotonic() - self._began
            for part, size in held.items():
                self.samples[part].append((at, size / 2**20))


def _with_descendants(pids: list[int]) -> set[int]:
    """A runner names nothing of the site, in its environment or elsewhere: it is known by its parents."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found, waiting = set(pids), list(pids)
    while waiting:
        new = set(children[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def _part_of(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return "others"
    values = dict(line.partition("=")[::2] for line in text.split("\0") if "=" in line)
    return values.get("DEMO_PROCESS", "runners and others")


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def slope(samples: list[tuple[float, float]]) -> float:
    """MiB per minute over the last half, by least squares."""
    late = samples[len(samples) // 2 :]
    if len(late) < 3:
        return 0.0
    fitted = statistics.linear_regression([at for at, _ in late], [size for _, size in late])
    return fitted.slope * 60


def settled() -> bool:
    """Whether no job is open any more."""
    from marketplace.inference.models import Job

    return not Job.objects.exclude(state__in=ENDED).exists()


def wait_until(condition: Callable[[], bool], *, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(1.0)


def memory_print(memory: MemoryWatch) -> None:
    """What each part held: at first, at most, at last, and how it grew."""
    for part, samples in sorted(memory.samples.items()):
        sizes = [size for _, size in samples]
        held = f"{sizes[0]:.0f} MiB at first, {max(sizes):.0f} at most, {sizes[-1]:.0f} at last"
        print(f"memory of {part}: {held}; {slope(samples):+.1f} MiB a minute in the last half")
