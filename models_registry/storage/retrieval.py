"""From blocks to files: builds a directory out of a store's blocks, resuming where an earlier attempt ended."""

from pathlib import Path

from weighhouse.core import unixfs
from weighhouse.core.cid import Cid
from weighhouse.core.paths import PathError, path_check

from models_registry.errors import ReleaseTooLargeError
from models_registry.storage.protocol import ArtifactStore


def directory_retrieve(store: ArtifactStore, root: Cid, *, into: Path, limits: unixfs.Limits) -> None:
    """Write the files below `root` into an existing directory.

    1. Walk the directories and check names, counts and sizes against `limits`.
    2. For each file, go through its leaves in order. A leaf that is already on disk and matches is not fetched again.
    3. Each file is cut to its exact size.

    Every block was verified by the store; the sizes that nodes claim are verified here. Raises UnixFsError for a
    malformed DAG, ReleaseTooLargeError, PathError for names that no release may have, and the store's errors.
    """
    entries = unixfs.directory_walk(root, store.block, limits)
    for entry in entries:
        path_check(entry.path)
    if sum(entry.size for entry in entries) > limits.max_bytes:
        raise ReleaseTooLargeError(f"The release holds more than {limits.max_bytes} bytes.")
    for entry in entries:
        _file_retrieve(store, entry, into / entry.path)


def _file_retrieve(store: ArtifactStore, entry: unixfs.Entry, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise PathError(entry.path, "collides with another entry", "Rename one of them.")
    target.touch()
    with target.open("r+b") as file:
        for part in unixfs.file_parts(entry, store.block):
            file.seek(part.offset)
            if part.cid is None:
                file.write(part.inline)
                continue
            held = file.read(part.size)
            if len(held) == part.size and part.cid.matches(held):
                continue
            data = store.block(part.cid)
            if len(data) != part.size:
                raise unixfs.UnixFsError("A leaf does not have the size that its parent gives.")
            file.seek(part.offset)
            file.write(data)
        file.truncate(entry.size)
