"""What keeps the bytes of releases."""

from pathlib import Path
from typing import Protocol

from weighhouse.core.cid import Cid


class ArtifactStore(Protocol):
    """Keeps directories as UnixFS DAGs and hands out their blocks.

    Implementations are safe to use from many threads and processes at once and hold nothing that must be closed.
    CIDs are computed here, never taken from a node. Every call may raise StoreUnavailableError.
    """

    def put(self, directory: Path) -> Cid:
        """Keep a directory and return its root CID. Doing it again changes nothing.

        The directory stays as it is; the store may share its files by hard links, so nobody may write into them
        afterwards. Raises UnixFsError for what cannot be stored, StoreRootMismatchError where a node disagrees.
        """
        ...

    def contains(self, root: Cid) -> bool:
        """Whether the store keeps the whole DAG of a root that was put into it."""
        ...

    def block(self, cid: Cid) -> bytes:
        """The bytes of one block, verified against the CID.

        Raises BlockMissingError when it cannot be had, BlockCorruptError when something else came.
        """
        ...
