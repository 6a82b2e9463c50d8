"""The store that needs no daemon: directories on disk, and an index of their blocks.

    <root>/releases/<root CID>/...   the files, read-only
    <root>/index.sqlite3             block CID -> bytes of a dag-pb node, or range of a file

Leaves are ranges of the files, so nothing is kept twice. The index follows from the files: it is written in one
transaction after the directory is in its place, and a `put` that was interrupted is completed by the next one.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from weighhouse.core import unixfs
from weighhouse.core.cid import Cid

from models_registry.errors import BlockCorruptError, BlockMissingError, StoreUnavailableError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS root (cid BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    cid BLOB PRIMARY KEY, node BLOB, root TEXT, path TEXT, position INTEGER, size INTEGER
) WITHOUT ROWID;
"""


class EmbeddedStore:
    """An ArtifactStore in a directory of this machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._releases = directory / "releases"

    def put(self, directory: Path) -> Cid:
        """See ArtifactStore."""
        dag = unixfs.directory_import(directory)
        if dag.root is None:
            raise StoreUnavailableError("The directory could not be imported.")
        try:
            self._directory_place(directory, dag.root)
            self._index(directory, dag)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(f"The store could not be written: {_reason(error)}.") from error
        return dag.root

    def contains(self, root: Cid) -> bool:
        """See ArtifactStore."""
        if not (self._releases / str(root)).is_dir():
            return False
        with self._database() as database:
            return database.execute("SELECT 1 FROM root WHERE cid = ?", (bytes(root),)).fetchone() is not None

    def block(self, cid: Cid) -> bytes:
        """See ArtifactStore."""
        with self._database() as database:
            row = database.execute(
                "SELECT node, root, path, position, size FROM block WHERE cid = ?", (bytes(cid),)
            ).fetchone()
        if row is None:
            raise BlockMissingError(cid)
        node, root, path, position, size = row
        data = node if node is not None else self._leaf(self._releases / root / path, position, size)
        if data is None:
            raise BlockMissingError(cid)
        if not cid.matches(data):
            raise BlockCorruptError(cid)
        return bytes(data)

    @staticmethod
    def _leaf(path: Path, position: int, size: int) -> bytes | None:
        try:
            return unixfs.Leaf(path, position, size).read()
        except (OSError, unixfs.UnixFsError):
            return None

    def _directory_place(self, source: Path, root: Cid) -> None:
        target = self._releases / str(root)
        if target.exists():
            return
        self._releases.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".put-", dir=self._releases))
        try:
            _tree_link(source, staging / "files")
            (staging / "files").rename(target)
        except OSError:
            if not target.exists():  # another process may have placed it in between
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _index(self, source: Path, dag: unixfs.Dag) -> None:
        assert dag.root is not None  # noqa: S101 - `put` checked
        root = str(dag.root)
        rows: list[tuple[bytes, bytes | None, str | None, str | None, int | None, int | None]]
        rows = [(bytes(cid), node, None, None, None, None) for cid, node in dag.nodes.items()]
        rows += [
            (bytes(cid), None, root, str(leaf.path.relative_to(source)), leaf.offset, leaf.size)
            for cid, leaf in dag.leaves.items()
        ]
        with self._database() as database, database:
            database.executemany("INSERT OR IGNORE INTO block VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR IGNORE INTO root VALUES (?)", (bytes(dag.root),))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._directory / "index.sqlite3", timeout=20)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(_SCHEMA)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(f"The store's index could not be used: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """An error without the path that it names."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _tree_link(source: Path, target: Path) -> None:
    """Recreate a directory with hard links, or copies where the file system cannot link."""
    target.mkdir()
    for child in sorted(source.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir() and not child.is_symlink():
            _tree_link(child, target / child.name)
        else:
            file_link(child, target / child.name)


def file_link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where that is impossible; the result is readable by all and writable by none."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
    target.chmod(0o444)
