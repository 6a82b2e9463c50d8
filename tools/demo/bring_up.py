"""Brings a site up in order, says what it does, prints the address, and then keeps a copy of the chain's state.

1. Wait for the chain and the broker.
2. Migrate the database, collect static files, deploy the contracts: all of them find finished work and leave it.
3. Let web, worker, beat, indexer and sender start (stage `prepared`), and wait until the site answers.
4. At the first start, publish the sample models through the same code as anybody's upload.
5. Write `ready.json` and print the address.
6. At later starts, look only now whether the samples are still as they should be: a person need not wait for that.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tools.demo.chain_state import ChainState
from tools.demo.config import DemoConfig, config_known, write_private

_KEEP_INTERVAL_S = 1.0


class BringUpError(Exception):
    """The site did not come up. The message says at which step."""


def main() -> int:
    config, samples = config_known(Path(sys.argv[1])), sys.argv[2] == "samples"
    began = time.monotonic()
    published = config.directory / "samples.published"
    known = published.exists()
    try:
        _bring_up(config)
        if samples and not known:
            _publish(published)
        _announce(config, seconds=time.monotonic() - began)
        if samples and known:
            _publish(published)
    except BringUpError as error:
        print(f"\n{error}", flush=True)
        return 1
    state = ChainState(config.directory)
    while True:
        state.keep()
        time.sleep(_KEEP_INTERVAL_S)


def _bring_up(config: DemoConfig) -> None:
    print(f"Weighhouse, a site of its own on this machine. State and logs: {config.var}", flush=True)
    _wait("chain", lambda: _accepts(config.chain_port), timeout_s=30)
    _wait("broker", lambda: _accepts(config.broker_port), timeout_s=30)
    _step("database, static files, contracts", [sys.executable, "-m", "tools.demo.prepare"])
    (config.stages / "prepared").touch()
    _wait("web", lambda: _answers(config.site_url), timeout_s=120)


def _publish(published: Path) -> None:
    _step("sample models", [sys.executable, "manage.py", "publish_samples"])
    published.touch()


def _step(name: str, command: list[str]) -> None:
    """Run `command`, passing its lines through."""
    print(f"  {name} ...", flush=True)
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"      {line}", end="", flush=True)
    if process.returncode != 0:
        raise BringUpError(f"{name}: failed with status {process.returncode}; the lines above say why")
    print(f"  {name}: done in {time.monotonic() - began:.1f} s", flush=True)


def _wait(name: str, condition: Callable[[], bool], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BringUpError(f"{name} did not answer within {timeout_s:.0f} s; see its log")
        time.sleep(0.05)
    print(f"  {name}: up", flush=True)


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        raise BringUpError(f"the site answers {error.code} at {url}; see the log of web") from None
    except OSError:
        return False


def _announce(config: DemoConfig, *, seconds: float) -> None:
    # The starter's process id tells this start's file from one that a SIGKILL left behind.
    starter = int(os.environ.get("DEMO_STARTER", "0"))
    ready = {"site_url": config.site_url, "rpc_url": config.rpc_url, "seconds": seconds, "starter": starter}
    write_private(config.ready_file, json.dumps(ready))
    print(f"\nReady in {seconds:.0f} s. Ctrl-C stops everything; the state is kept.\n", flush=True)
    print(f"    {config.site_url}\n", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main())
