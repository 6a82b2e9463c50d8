"""What a store returns is hashed before it is kept; a fetch is whole, resumable and made once."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from weighhouse.core.cid import DAG_PB, RAW, Cid
from weighhouse.core.paths import PathError
from weighhouse.core.unixfs import Limits, UnixFsError, directory_import

from models_registry.errors import BlockCorruptError, BlockMissingError
from models_registry.storage.cache import _locked, fetch, release_evict
from models_registry.storage.embedded import EmbeddedStore

CHUNK = 1 << 20


@pytest.fixture
def files(tmp_path):
    """A directory with a file of five leaves."""
    directory = tmp_path / "files"
    (directory / "1_Pooling").mkdir(parents=True)
    (directory / "model.safetensors").write_bytes(b"".join(bytes([n]) * CHUNK for n in range(4)) + b"tail")
    (directory / "1_Pooling" / "config.json").write_bytes(b"{}")
    (directory / "README.md").write_bytes(b"")
    return directory


@pytest.fixture
def store(tmp_path):
    return EmbeddedStore(tmp_path / "store")


class Counting:
    """A store that counts, and may fail on the way."""

    def __init__(self, store, *, fail_after=None):
        self.store, self.fail_after, self.fetched = store, fail_after, []

    def block(self, cid):
        if self.fail_after is not None and len(self.fetched) >= self.fail_after:
            raise BlockMissingError(cid)
        self.fetched.append(cid)
        return self.store.block(cid)


def content(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_put_then_fetch_gives_the_same_files_read_only(store, files, tmp_path):
    root = store.put(files)
    fetched = fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    assert content(fetched) == content(files)
    assert root == directory_import(files).root
    assert {oct(path.stat().st_mode & 0o777) for path in fetched.rglob("*")} == {"0o444", "0o555"}


def test_put_twice_keeps_one_release(store, files, tmp_path):
    assert store.put(files) == store.put(files)
    assert len(list((tmp_path / "store" / "releases").iterdir())) == 1


def test_put_that_died_before_its_index_is_completed_by_the_next(store, files, tmp_path):
    root = store.put(files)
    (tmp_path / "store" / "index.sqlite3").unlink()
    for journal in (tmp_path / "store").glob("index.sqlite3-*"):
        journal.unlink()
    assert not store.contains(root)
    store.put(files)
    assert store.contains(root)
    assert store.block(root)


def test_contains_of_an_unknown_root_is_false(store):
    assert not store.contains(Cid.of(0x70, b"unknown"))


def test_block_of_an_unknown_cid_is_missing(store):
    with pytest.raises(BlockMissingError):
        store.block(Cid.of(RAW, b"unknown"))


def test_block_of_a_file_that_was_changed_on_disk_is_corrupt(store, files, tmp_path):
    root = store.put(files)
    kept = tmp_path / "store" / "releases" / str(root) / "model.safetensors"
    kept.chmod(0o644)
    with kept.open("r+b") as file:
        file.write(b"evil")
    with pytest.raises(BlockCorruptError):
        fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    assert not (tmp_path / "cache" / str(root)).exists()


def test_block_of_a_file_that_was_cut_on_disk_is_missing(store, files, tmp_path):
    root = store.put(files)
    kept = tmp_path / "store" / "releases" / str(root) / "model.safetensors"
    kept.chmod(0o644)
    os.truncate(kept, 10)
    with pytest.raises(BlockMissingError):
        fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())


def test_fetch_that_broke_resumes_at_the_missing_leaves(store, files, tmp_path):
    root = store.put(files)
    whole = Counting(store)
    fetch(root, store=whole, directory=tmp_path / "other", limits=Limits())
    broken = Counting(store, fail_after=len(whole.fetched) - 2)
    with pytest.raises(BlockMissingError):
        fetch(root, store=broken, directory=tmp_path / "cache", limits=Limits())
    assert not (tmp_path / "cache" / str(root)).exists()
    again = Counting(store)
    fetched = fetch(root, store=again, directory=tmp_path / "cache", limits=Limits())
    assert content(fetched) == content(files)
    leaves = [cid for cid in again.fetched if cid.codec == RAW]
    assert len(leaves) == 2


def test_fetch_of_a_partial_directory_with_wrong_bytes_mends_it(store, files, tmp_path):
    root = store.put(files)
    partial = tmp_path / "cache" / f".{root}.partial"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"x" * (6 * CHUNK))
    (partial / "model.safetensors").chmod(0o444)
    assert content(fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())) == content(files)


def test_fetch_of_a_cached_release_asks_the_store_nothing(store, files, tmp_path):
    root = store.put(files)
    fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    again = Counting(store)
    fetch(root, store=again, directory=tmp_path / "cache", limits=Limits())
    assert again.fetched == []


def test_fetch_by_many_threads_at_once_fetches_once(store, files, tmp_path):
    root = store.put(files)
    counting = Counting(store)
    start = threading.Barrier(8)

    def one(_):
        start.wait()
        return fetch(root, store=counting, directory=tmp_path / "cache", limits=Limits())

    with ThreadPoolExecutor(8) as pool:
        (path,) = set(pool.map(one, range(8)))
    assert content(path) == content(files)
    assert len(counting.fetched) == len(set(counting.fetched)) + sum(
        counting.fetched.count(cid) - 1 for cid in set(counting.fetched) if cid.codec != RAW
    )


def _fetch_in_process(arguments):
    store, root, cache = arguments
    return str(fetch(root, store=EmbeddedStore(store), directory=cache, limits=Limits()))


def test_fetch_by_many_processes_at_once_gives_one_whole_directory(store, files, tmp_path):
    root = store.put(files)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        paths = pool.map(_fetch_in_process, [(tmp_path / "store", root, tmp_path / "cache")] * 6)
    assert len(set(paths)) == 1
    assert content(tmp_path / "cache" / str(root)) == content(files)


def test_fetch_beyond_the_limits_keeps_nothing_usable(store, files, tmp_path):
    root = store.put(files)
    with pytest.raises(UnixFsError):
        fetch(root, store=store, directory=tmp_path / "cache", limits=Limits(max_bytes=CHUNK))
    assert not (tmp_path / "cache" / str(root)).exists()


def test_fetch_of_a_directory_with_a_name_that_tricks_is_refused(store, tmp_path):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "a\\..\\b").write_bytes(b"x")
    root = store.put(tmp_path / "evil")
    with pytest.raises(PathError):
        fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())


def test_evict_drops_a_read_only_release(store, files, tmp_path):
    root = store.put(files)
    fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    release_evict(root, directory=tmp_path / "cache")
    assert not (tmp_path / "cache" / str(root)).exists()
    assert store.contains(root)


def test_fetch_of_a_release_that_nobody_has_leaves_nothing(store, tmp_path):
    with pytest.raises(BlockMissingError):
        fetch(Cid.of(DAG_PB, b"unknown"), store=store, directory=tmp_path / "cache", limits=Limits())
    assert list((tmp_path / "cache").iterdir()) == []


def test_fetch_leaves_no_lock(store, files, tmp_path):
    root = store.put(files)
    fetch(root, store=store, directory=tmp_path / "cache", limits=Limits())
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [str(root)]


def test_lock_that_a_former_holder_removes_is_not_taken_for_the_lock(tmp_path):
    path, order = tmp_path / "lock", []

    def second():
        with _locked(path):
            order.append(path.exists())

    with _locked(path):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
    waiting.join(10)
    assert order == [True]
    assert not path.exists()
