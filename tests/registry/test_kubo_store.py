"""The store behind an IPFS node. The first tests run against a double and, marked `kubo`, against a real node."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests
from weighhouse.core.cid import RAW, Cid
from weighhouse.core.unixfs import Limits, directory_import

from models_registry.errors import (
    BlockCorruptError,
    BlockMissingError,
    StoreRootMismatchError,
    StoreUnavailableError,
)
from models_registry.storage.cache import fetch
from models_registry.storage.kubo import KuboStore
from tests.registry.kubo_double import NodeDouble
from tools.demo.ports import free_port

# As models_registry.storage.kubo does: pytest sets its own filters before each test.
pytestmark = pytest.mark.filterwarnings("ignore:The 'strict' parameter is no longer needed:FutureWarning")


@pytest.fixture
def double():
    node = NodeDouble()
    yield node
    node.close()


@pytest.fixture(scope="session")
def real_node(tmp_path_factory):
    """The RPC address of a real node: one that runs, or js-ipfs started here. See tests/kubo/README.md."""
    if address := os.environ.get("KUBO_API_ADDR"):
        yield address
        return
    directory = os.environ.get("KUBO_NODE_DIR")
    if not directory:
        pytest.skip("no IPFS node: set KUBO_API_ADDR or KUBO_NODE_DIR, see tests/kubo/README.md")
    yield from _js_ipfs(Path(directory), tmp_path_factory.mktemp("ipfs"))


def _js_ipfs(directory: Path, home: Path):
    node = shutil.which("node")
    assert node
    cli = directory / "node_modules" / "ipfs" / "src" / "cli.js"
    env = {"IPFS_PATH": str(home), "PATH": os.environ["PATH"], "HOME": str(home)}
    port = free_port()

    def ipfs(*arguments: str) -> None:
        subprocess.run([node, str(cli), *arguments], env=env, check=True, capture_output=True, timeout=120)

    ipfs("init", "--empty-repo", "--algorithm", "ed25519")
    for key, value in {
        "Addresses.API": f'"/ip4/127.0.0.1/tcp/{port}"',
        "Addresses.Gateway": f'"/ip4/127.0.0.1/tcp/{free_port()}"',
        "Addresses.Swarm": f'["/ip4/127.0.0.1/tcp/{free_port()}"]',
        "Addresses.Delegates": "[]",
        "Addresses.RPC": '""',
        "Bootstrap": "[]",
        "Discovery.MDNS.Enabled": "false",
    }.items():
        ipfs("config", "--json", key, value)
    log = (home / "log").open("wb")
    process = subprocess.Popen([node, str(cli), "daemon", "--offline"], env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not _is_up(port):
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.2)
        yield f"/ip4/127.0.0.1/tcp/{port}/http"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _is_up(port: int) -> bool:
    try:
        return requests.post(f"http://127.0.0.1:{port}/api/v0/version", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture(params=["double", pytest.param("real_node", marks=pytest.mark.kubo)])
def store(request):
    node = request.getfixturevalue(request.param)
    return KuboStore(node if isinstance(node, str) else node.address)


@pytest.fixture
def files(tmp_path):
    directory = tmp_path / "files"
    (directory / "1_Pooling").mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(os.urandom(3 << 20) + b"tail")
    (directory / "1_Pooling" / "config.json").write_bytes(b"{}")
    (directory / "README.md").write_bytes(b"")
    return directory


def test_put_then_fetch_gives_the_same_files(store, files, tmp_path):
    root = store.put(files)
    assert root == directory_import(files).root
    fetched = fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    for path in files.rglob("*"):
        if path.is_file():
            assert (fetched / path.relative_to(files)).read_bytes() == path.read_bytes()


def test_contains_of_a_put_root_is_true_and_of_another_false(store, files):
    root = store.put(files)
    assert store.contains(root)
    assert not store.contains(Cid.of(0x70, b"unknown"))


def test_put_twice_gives_the_same_root(store, files):
    assert store.put(files) == store.put(files)


def test_put_asks_the_node_to_pin(double, files):
    root = KuboStore(double.address).put(files)
    assert double.pins == {str(root)}


def test_put_to_a_node_that_computes_another_root_says_so(double, files):
    double.claimed_root = str(Cid.of(0x70, b"another"))
    with pytest.raises(StoreRootMismatchError):
        KuboStore(double.address).put(files)


@pytest.mark.parametrize("lie", [b"", b"other bytes", b"x" * (3 << 20)])
def test_block_that_the_node_made_up_is_corrupt_and_keeps_nothing(double, files, tmp_path, lie):
    store = KuboStore(double.address)
    root = store.put(files)
    double.lie = lie
    with pytest.raises(BlockCorruptError):
        fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    assert not (tmp_path / "cache" / str(root)).exists()


def test_block_that_the_node_lacks_is_missing(double):
    with pytest.raises(BlockMissingError):
        KuboStore(double.address).block(Cid.of(RAW, b"unknown"))


def test_dead_node_is_unavailable_and_retryable(files):
    store = KuboStore(f"/ip4/127.0.0.1/tcp/{free_port()}/http")
    unknown = Cid.of(RAW, b"")
    for call in (lambda: store.put(files), lambda: store.block(unknown), lambda: store.contains(unknown)):
        with pytest.raises(StoreUnavailableError) as caught:
            call()
        assert caught.value.retryable
