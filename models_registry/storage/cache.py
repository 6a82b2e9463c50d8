"""Releases on this machine's disk, verified, for workers to load.

<cache>/<root CID>/            complete and read-only
<cache>/.<root CID>.partial/   what an interrupted fetch left; the next one resumes it. None where it left no file
<cache>/.<root CID>.lock       held with flock while fetching, then removed: a dead process leaves no stale lock
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings
from weighhouse.core.cid import Cid
from weighhouse.core.unixfs import Limits

from models_registry.errors import BlockMissingError, StoreUnavailableError
from models_registry.storage import get_store
from models_registry.storage.protocol import ArtifactStore
from models_registry.storage.retrieval import directory_retrieve

logger = logging.getLogger(__name__)


def release_fetch(root_cid: str | Cid) -> Path:
    """A verified, read-only directory with the files of a release.

    Fetches it on the first call; calls at the same time wait for that one. The directory appears whole or not at all.
    Raises CidError, the store's errors (retryable where trying again may help), UnixFsError, PathError.
    """
    root = Cid.parse(root_cid) if isinstance(root_cid, str) else root_cid
    return fetch(root, store=get_store(), directory=Path(settings.ARTIFACT_CACHE_DIR), limits=site_limits())


def site_limits() -> Limits:
    """What this site accepts of a stranger's directory."""
    return Limits(
        # The manifest, and the directories that the files lie in.
        max_entries=2 * settings.UPLOAD_MAX_FILES + 1,
        max_bytes=settings.UPLOAD_MAX_TOTAL_BYTES + (1 << 20),
    )


def fetch(root: Cid, *, store: ArtifactStore, directory: Path, limits: Limits) -> Path:
    """`release_fetch` with everything given. See there."""
    target = directory / str(root)
    if target.is_dir():
        return target
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / f".{root}.lock"):
            if not target.is_dir():
                _fetch_locked(root, store=store, target=target, limits=limits)
    except OSError as error:
        raise StoreUnavailableError(f"The release could not be written to disk: {error.strerror}.") from error
    return target


def _fetch_locked(root: Cid, *, store: ArtifactStore, target: Path, limits: Limits) -> None:
    partial = target.with_name(f".{root}.partial")
    partial.mkdir(exist_ok=True)
    _make_writable(partial)  # an attempt may have died while it was sealing the directory
    try:
        directory_retrieve(store, root, into=partial, limits=limits)
    except BlockMissingError:
        # Anybody may name a release that nobody has; it leaves nothing here.
        if not any(partial.iterdir()):
            partial.rmdir()
        raise
    _make_read_only(partial)
    partial.rename(target)
    logger.info("fetched release %s", root)


def release_evict(root: Cid, *, directory: Path) -> None:
    """Drop a release, or what an interrupted fetch left of it. Nobody may be using it."""
    for path in (directory / str(root), directory / f".{root}.partial"):
        if path.is_dir():
            _make_writable(path)
            shutil.rmtree(path)


def _make_read_only(directory: Path) -> None:
    # Readable by others: a runner has a user of its own.
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def _make_writable(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock, and remove its file at the end. One that a former holder removed meanwhile is no lock."""
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, path):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
