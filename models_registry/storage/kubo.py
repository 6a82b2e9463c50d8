"""The store that is an IPFS node: Kubo, or anything that speaks its RPC.

A directory goes to the node as our own CAR through `dag/import`, pinned, so that its CID does not depend on how the
node would have cut the files. What comes back is hashed here.
"""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipfshttpclient
from ipfshttpclient import exceptions
from weighhouse.core import car, unixfs
from weighhouse.core.cid import Cid

from models_registry.errors import (
    BlockCorruptError,
    BlockMissingError,
    StoreRootMismatchError,
    StoreUnavailableError,
)

# The client passes a parameter that the next major version of urllib3 drops; requirements.in pins the one before.
warnings.filterwarnings("ignore", message="The 'strict' parameter is no longer needed", category=FutureWarning)

_PIECE_BYTES = 1 << 20
_BLOCK_TIMEOUT_S = 60.0
_IMPORT_TIMEOUT_S = 3600.0
_QUESTION_TIMEOUT_S = 15.0


class _Stream(io.RawIOBase):
    """A readable file over an iterator of byte strings, for a body that is never whole in memory."""

    name = "release.car"

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        end = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:end], self._rest[end:]
        return data


class KuboStore:
    """An ArtifactStore behind a node's RPC address, such as /ip4/127.0.0.1/tcp/5001/http."""

    def __init__(self, address: str) -> None:
        self._address = address

    def put(self, directory: Path) -> Cid:
        """See ArtifactStore. The root is pinned."""
        dag = unixfs.directory_import(directory)
        root = dag.root
        if root is None:
            raise StoreUnavailableError("The directory could not be imported.")
        stream = _Stream(car.write(root, _blocks(dag)))
        with _translated(), self._client() as client:
            answer = client.dag.imprt(stream, opts={"pin-roots": "true"}, timeout=_IMPORT_TIMEOUT_S)
        returned = _imported_root(answer)
        if returned != str(root):
            raise StoreRootMismatchError(
                f"The IPFS node imported {returned or 'nothing'} where {root} was sent. Check the node.",
                expected=str(root),
                returned=returned,
            )
        return root

    def contains(self, root: Cid) -> bool:
        """See ArtifactStore. Pinned recursively counts as whole."""
        try:
            with _translated(), self._client() as client:
                base = {"cid-base": "base32"}
                pins = client.pin.ls(str(root), type="recursive", opts=base, timeout=_QUESTION_TIMEOUT_S)
        except BlockMissingError:
            return False
        return str(root) in pins["Keys"]

    def block(self, cid: Cid) -> bytes:
        """See ArtifactStore. The node looks for it on the network as long as the time-out allows."""
        with _translated(cid), self._client() as client:
            data: bytes = client.block.get(str(cid), timeout=_BLOCK_TIMEOUT_S)
        if len(data) > unixfs.MAX_BLOCK_BYTES or not cid.matches(data):
            raise BlockCorruptError(cid)
        return data

    def _client(self) -> Any:
        # `connect()` compares version strings and warns on every modern node; the constructor does not ask.
        return ipfshttpclient.Client(self._address, chunk_size=_PIECE_BYTES, timeout=_BLOCK_TIMEOUT_S)


class _translated:  # noqa: N801 - reads as a statement
    """Turns the client's errors into the registry's. An answer "I have no such thing" is BlockMissingError."""

    def __init__(self, cid: Cid | None = None) -> None:
        self._cid = cid

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, exceptions.ErrorResponse):
            raise BlockMissingError(self._cid or "of this root") from error
        if isinstance(error, exceptions.TimeoutError) and self._cid is not None:
            raise BlockMissingError(self._cid) from error
        if isinstance(error, exceptions.Error):
            raise StoreUnavailableError("The IPFS node does not answer. The operator must check it.") from error


def _blocks(dag: unixfs.Dag) -> Iterator[tuple[Cid, bytes]]:
    for cid, leaf in dag.leaves.items():
        yield cid, leaf.read()
    # A node comes after its children here; importers index by CID and do not mind.
    yield from dag.nodes.items()


def _imported_root(answer: Any) -> str:
    """The root that `dag/import` reports, "" where the answer has another form."""
    try:
        root = answer["Root"]["Cid"]["/"]
    except (KeyError, TypeError):
        return ""
    return str(root)
