"""`make demo`'s supervisor: it comes up, it goes down without a trace, and the state survives."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.stack import Stack, await_no_processes
from tools.demo import binaries, isolation
from tools.demo.lock import lock_owner

# Each test starts whole sites, some of them several times.
pytestmark = pytest.mark.timeout(600)

StartStack = Callable[..., Stack]
NO_SAMPLES = "--no-samples"


def rpc(stack: Stack, method: str, *params: object) -> object:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(stack.rpc_url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["result"]


def supervisor_pid(stack: Stack) -> int:
    """honcho's own process, inside the namespace where there is one."""
    below = isolation.descendants_of(stack.spawned.pid)
    return next(pid for pid in below if b"tools.demo.supervisor" in command(pid) and b"unshare" not in command(pid))


def command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def assert_all_gone(stack: Stack) -> None:
    assert await_no_processes(stack.var) == []
    assert lock_owner(stack.var / "demo" / "lock") is None


def test_demo_comes_up_prints_one_address_and_stops_on_ctrl_c(start_stack: StartStack, tmp_path: Path) -> None:
    stack = start_stack(tmp_path / "a directory")
    stack.spawned.wait_for_output(f"    {stack.site_url}\n")
    addresses = re.findall(r"^ {4}(http://\S+)$", stack.spawned.output(), re.MULTILINE)
    assert addresses == [stack.site_url]
    with urllib.request.urlopen(stack.site_url, timeout=20) as page:
        assert page.status == 200
    for name in ("chain", "broker", "web", "worker", "intake", "beat", "indexer", "sender"):
        assert stack.pid_of(name) in stack.processes()

    stack.spawned.process.send_signal(signal.SIGINT)

    assert stack.spawned.process.wait(60) == 0
    assert_all_gone(stack)


@pytest.mark.parametrize("victim", ["starter", "supervisor", "unshare"])
def test_demo_whose_supervisor_is_killed_leaves_no_process_and_no_lock(
    start_stack: StartStack, tmp_path: Path, victim: str
) -> None:
    if not isolation.namespace_command():
        pytest.skip("this machine allows no PID namespace: the fallback has a test of its own")
    stack = start_stack(tmp_path)
    unshare = isolation.children_of(stack.spawned.pid)[0]
    assert command(unshare).startswith(b"unshare\0")

    os.kill({"starter": stack.spawned.pid, "supervisor": supervisor_pid(stack), "unshare": unshare}[victim], 9)

    assert stack.spawned.process.wait(60) != 0
    assert_all_gone(stack)


@pytest.mark.parametrize("victim", ["starter", "supervisor"])
def test_demo_without_namespace_whose_supervisor_is_killed_leaves_no_process(
    start_stack: StartStack, tmp_path: Path, victim: str
) -> None:
    stack = start_stack(tmp_path, arguments=(NO_SAMPLES, "--no-namespace"))
    assert "no PID namespace here" in stack.spawned.output()

    os.kill(stack.spawned.pid if victim == "starter" else supervisor_pid(stack), signal.SIGKILL)

    stack.spawned.process.wait(60)
    assert_all_gone(stack)


def test_demo_restarted_after_sigterm_and_sigkill_keeps_address_chain_and_secrets(
    start_stack: StartStack, tmp_path: Path
) -> None:
    first = start_stack(tmp_path)
    config, blocks = first.config, int(str(rpc(first, "eth_blockNumber")), 16)
    book = json.loads((tmp_path / "deployments" / "31337.json").read_text())
    assert first.stop() == 0
    assert_all_gone(first)

    second = start_stack(tmp_path)
    assert second.config == config
    # 20 s on a machine of its own; beside the rest of the suite it shares two cores.
    assert second.ready["seconds"] < 60
    assert int(str(rpc(second, "eth_blockNumber")), 16) >= blocks
    second.spawned.kill()
    assert_all_gone(second)

    third = start_stack(tmp_path)
    assert third.config == config
    assert json.loads((tmp_path / "deployments" / "31337.json").read_text()) == book
    for contract in book["contracts"].values():
        assert rpc(third, "eth_getCode", contract["address"], "latest") != "0x"


def test_second_demo_on_the_same_state_is_refused_and_names_the_first(start_stack: StartStack, tmp_path: Path) -> None:
    first = start_stack(tmp_path)
    second = start_stack(tmp_path, wait=False)
    assert second.spawned.process.wait(60) == 2
    assert f"process {first.spawned.pid} already runs a site" in second.spawned.output()
    assert first.ready


def test_demo_of_which_one_process_dies_stops_and_says_which(start_stack: StartStack, tmp_path: Path) -> None:
    stack = start_stack(tmp_path)
    os.kill(stack.pid_of("worker"), signal.SIGKILL)
    assert stack.spawned.process.wait(60) != 0
    assert "worker ended (rc=-9), so the site stops." in stack.spawned.output()
    assert_all_gone(stack)


def test_demo_outlives_its_node_which_is_started_again_with_its_chain(start_stack: StartStack, tmp_path: Path) -> None:
    stack = start_stack(tmp_path)
    blocks = int(str(rpc(stack, "eth_blockNumber")), 16)
    # anvil writes its state once a second.
    stack.spawned.wait_until((tmp_path / "demo" / "chain.kept.json").exists, what="keeping the chain's state")
    stack.spawned.wait_until(lambda: status(stack)["ok"], what="indexing", timeout_s=60)
    node = stack.pid_of("chain")
    os.kill(node, signal.SIGKILL)
    stack.spawned.wait_until(lambda: status(stack)["ok"] is False, what="saying that the node is down", timeout_s=60)
    (stream,) = status(stack)["streams"]
    assert stream["error"]["code"] == "chain.node_unavailable"
    stack.spawned.wait_until(lambda: status(stack)["ok"], what="going on", timeout_s=120)
    assert int(str(rpc(stack, "eth_blockNumber")), 16) >= blocks - 1
    assert stack.pid_of("chain") != node
    assert stack.stop() == 0
    assert_all_gone(stack)


def status(stack: Stack) -> dict[str, Any]:
    with urllib.request.urlopen(f"{stack.site_url}/api/v1/status", timeout=20) as answer:
        return dict(json.load(answer))


def test_demo_without_bubblewrap_refuses_to_start_and_names_the_package(
    start_stack: StartStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    for program in ("setpriv", "unshare", "sh", Path(binaries.broker()).name):
        found = next(Path(p) / program for p in os.environ["PATH"].split(":") if (Path(p) / program).exists())
        (only / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(only))
    stack = start_stack(tmp_path / "var", wait=False)
    assert stack.spawned.process.wait(60) == 2
    assert "apt-get install bubblewrap" in stack.spawned.output()
    assert not (tmp_path / "var" / "demo" / "ports.json").exists()
