"""A release's directory while it is checked: hard links to the upload's blobs, and the manifest.

<uploads>/staging/<root CID>/    whole; made under another name and renamed
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from weighhouse.core import unixfs
from weighhouse.core.cid import Cid
from weighhouse.core.manifest import Manifest
from weighhouse.core.paths import MANIFEST, path_check

from models_registry.errors import UploadNotFoundError
from models_registry.storage.embedded import file_link

TEMPORARY_PREFIX = ".new-"


def staging_path(uploads: Path, root: Cid) -> Path:
    """Where the release of this root is checked."""
    return uploads / "staging" / str(root)


def staging_build(uploads: Path, manifest: Manifest, blobs: Mapping[str, Path]) -> Path:
    """Lay out a release in a new temporary directory. `blobs` maps each path of the manifest to its bytes.

    Raises UploadNotFoundError where bytes vanished meanwhile.
    """
    parent = uploads / "staging"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
    # Readable by others: a runner has a user of its own.
    directory.chmod(0o755)
    for file in manifest.files:
        target = directory / path_check(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            file_link(blobs[file.path], target)
        except FileNotFoundError:
            shutil.rmtree(directory, ignore_errors=True)
            raise UploadNotFoundError("The upload was deleted, or changed, while a release was made of it.") from None
    (directory / MANIFEST).write_bytes(manifest.to_bytes())
    (directory / MANIFEST).chmod(0o444)
    return directory


def staging_place(uploads: Path, directory: Path, root: Cid) -> None:
    """Give a directory that `staging_build` made its final name; an equal one that is there already wins."""
    target = staging_path(uploads, root)
    try:
        directory.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(directory)


def staging_root(directory: Path) -> Cid:
    """The root CID of a directory that `staging_build` made."""
    root = unixfs.directory_import(directory).root
    if root is None:
        raise unixfs.UnixFsError("The release could not be imported.")
    return root


def staging_remove(uploads: Path, root: Cid) -> None:
    """Drop the directory of a release whose check has ended."""
    shutil.rmtree(staging_path(uploads, root), ignore_errors=True)
