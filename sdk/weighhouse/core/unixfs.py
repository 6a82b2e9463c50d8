"""UnixFS: files and directories as a DAG of blocks, and back.

Writing follows the profile `unixfs-v1-2025` (IPIP-499): CIDv1, sha2-256, raw leaves of 1 MiB, a balanced tree of width
1024, empty directories kept, hidden files left out. Leaves stay references into the original files: only the small
dag-pb nodes are held in memory. Reading takes a stranger's blocks: every limit is checked before anything is allocated.
Sources: https://specs.ipfs.tech/unixfs/, https://ipld.io/specs/codecs/dag-pb/spec/.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weighhouse.core.cid import BYTES_LENGTH, DAG_PB, RAW, Cid, CidError
from weighhouse.core.errors import WeighhouseError

CHUNK_BYTES = 1 << 20
WIDTH = 1024
# A directory node beyond this becomes a HAMT in the profile. A release has far fewer files.
MAX_DIRECTORY_BYTES = 256 << 10
# The trustless gateway's cap; also what a reader accepts.
MAX_BLOCK_BYTES = 2 << 20
_MAX_TREE_DEPTH = 8
# How finely a file may be cut, so that a few bytes cannot cost a million requests.
_FREE_PARTS = 64
_MIN_PART_BYTES = 16 << 10

_TYPE_DIRECTORY = 1
_TYPE_FILE = 2


class UnixFsError(WeighhouseError):
    """A block is not a UnixFS node of the accepted kind, or a directory cannot be written as one."""

    code = "unixfs.invalid"


@dataclass(frozen=True, slots=True)
class Profile:
    """How a file is cut: bytes per leaf, children per node. Both decide the CID."""

    chunk_bytes: int = CHUNK_BYTES
    width: int = WIDTH


@dataclass(frozen=True, slots=True)
class Leaf:
    """A raw block that is a range of an existing file."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The block's bytes. Raises UnixFsError where the file has become shorter."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise UnixFsError("A file changed while it was read.")
        return data


@dataclass(frozen=True, slots=True)
class Link:
    """A child: `total` is the size of its whole DAG in bytes, `size` the bytes of file content below it."""

    cid: Cid
    total: int
    size: int = 0
    name: str = ""


@dataclass(slots=True)
class Dag:
    """A built DAG: its root, its nodes by CID (dag-pb, and raw ones held in memory), its leaves by CID."""

    root: Cid | None = None
    nodes: dict[Cid, bytes] = field(default_factory=dict)
    leaves: dict[Cid, Leaf] = field(default_factory=dict)

    def block(self, cid: Cid) -> bytes | None:
        """The bytes of a block of this DAG, None for a foreign CID."""
        if cid in self.nodes:
            return self.nodes[cid]
        leaf = self.leaves.get(cid)
        return leaf.read() if leaf else None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + _varint(value)


def node_encode(links: Iterable[Link], data: bytes) -> bytes:
    """A dag-pb node in its canonical form: links before data."""
    out = bytearray()
    for link in links:
        body = _field(1, bytes(link.cid)) + _field(2, link.name.encode()) + _number(3, link.total)
        out += _field(2, body)
    return bytes(out + _field(1, data))


def _file_node(children: list[Link]) -> bytes:
    size = sum(child.size for child in children)
    data = _number(1, _TYPE_FILE) + _number(3, size) + b"".join(_number(4, child.size) for child in children)
    return node_encode(children, data)


def _node_add(dag: Dag, children: list[Link]) -> Link:
    block = _file_node(children)
    cid = Cid.of(DAG_PB, block)
    dag.nodes[cid] = block
    return Link(cid, len(block) + sum(child.total for child in children), sum(child.size for child in children))


def _leaves(dag: Dag, path: Path, chunk_bytes: int) -> Iterator[Link]:
    with path.open("rb") as file:
        offset = 0
        while True:
            data = file.read(chunk_bytes)
            if not data and offset:
                return
            cid = Cid.of(RAW, data)
            dag.leaves[cid] = Leaf(path, offset, len(data))
            yield Link(cid, len(data), len(data))
            offset += len(data)
            if len(data) < chunk_bytes:
                return


def file_add(dag: Dag, path: Path, profile: Profile | None = None) -> Link:
    """Add a file to the DAG and return the link to its root."""
    profile = profile or Profile()
    level = list(_leaves(dag, path, profile.chunk_bytes))
    while len(level) > 1:
        level = [_node_add(dag, level[start : start + profile.width]) for start in range(0, len(level), profile.width)]
    return level[0]


def bytes_add(dag: Dag, data: bytes) -> Link:
    """Add a small file whose bytes are in memory. Raises UnixFsError for more than one leaf."""
    if len(data) > CHUNK_BYTES:
        raise UnixFsError(f"Expected at most {CHUNK_BYTES} bytes, got {len(data)}.")
    cid = Cid.of(RAW, data)
    dag.nodes[cid] = data
    return Link(cid, len(data), len(data))


def directory_node_add(dag: Dag, entries: Iterable[Link]) -> Link:
    """Add a directory of the named entries, sorted by the bytes of their names. Raises UnixFsError when too big."""
    links = sorted(entries, key=lambda link: link.name.encode())
    block = node_encode(links, _number(1, _TYPE_DIRECTORY))
    if len(block) > MAX_DIRECTORY_BYTES:
        raise UnixFsError(f"A directory with {len(links)} entries is too large. Spread the files over subdirectories.")
    cid = Cid.of(DAG_PB, block)
    dag.nodes[cid] = block
    return Link(cid, len(block) + sum(link.total for link in links))


def _directory_add(dag: Dag, path: Path, profile: Profile) -> Link:
    entries = []
    for child in sorted(path.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_symlink() or not (child.is_dir() or child.is_file()):
            raise UnixFsError(f"{child.name!a} is a link or a special file. Only files and directories are stored.")
        added = _directory_add(dag, child, profile) if child.is_dir() else file_add(dag, child, profile)
        entries.append(Link(added.cid, added.total, added.size, child.name))
    return directory_node_add(dag, entries)


def directory_import(path: Path, profile: Profile | None = None) -> Dag:
    """The DAG of a directory, its root set. Reads every file once, holds none. Raises UnixFsError."""
    dag = Dag()
    dag.root = _directory_add(dag, path, profile or Profile()).cid
    return dag


# Reading


@dataclass(frozen=True, slots=True)
class Node:
    """A decoded UnixFS node: a directory with named links, or a file with a range of content per link.

    `inline` is content that a file node carries itself; other importers write it, ours never does.
    """

    is_directory: bool
    links: tuple[Link, ...]
    size: int
    inline: bytes = b""


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise UnixFsError("A block ends within a number, or a number is too long.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == 0:
            value, at = _read_varint(data, at)
            yield key >> 3, value
        elif key & 7 == 2:
            length, at = _read_varint(data, at)
            if length > len(data) - at:
                raise UnixFsError("A block ends within a field.")
            yield key >> 3, data[at : at + length]
            at += length
        else:
            raise UnixFsError("A block has a field of an unknown wire type.")


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise UnixFsError("A field of a block has the wrong type.")
    return value


def _as_int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise UnixFsError("A field of a block has the wrong type.")
    return value


def _link_decode(data: bytes) -> Link:
    cid, name, total = None, "", 0
    for number, value in _fields(data):
        if number == 1:
            raw = _as_bytes(value)
            if len(raw) != BYTES_LENGTH:
                raise UnixFsError("A link is not a CIDv1 with sha2-256.")
            try:
                cid = Cid.from_bytes(raw)
            except CidError as error:
                raise UnixFsError(f"A link is not acceptable: {error.message}") from None
        elif number == 2:
            try:
                name = _as_bytes(value).decode("utf-8")
            except UnicodeDecodeError:
                raise UnixFsError("The name of a link is not UTF-8.") from None
        elif number == 3:
            total = _as_int(value)
        else:
            raise UnixFsError(f"A link has an unknown field {number}.")
    if cid is None:
        raise UnixFsError("A link has no CID.")
    return Link(cid, total, 0, name)


def _data_decode(data: bytes) -> tuple[int, bytes, int | None, list[int]]:
    kind, inline, size = -1, b"", None
    sizes: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            kind = _as_int(value)
        elif number == 2:
            inline = _as_bytes(value)
        elif number == 3:
            size = _as_int(value)
        elif number == 4:
            sizes.append(_as_int(value))
        elif number not in (7, 8):  # mode and mtime, which mean nothing here
            raise UnixFsError(f"A UnixFS node has a field {number} that is not supported.")
    return kind, inline, size, sizes


def node_decode(block: bytes) -> Node:
    """Decode a dag-pb block that holds a UnixFS file or plain directory. Raises UnixFsError for all else."""
    links: list[Link] = []
    data: bytes | None = None
    for number, value in _fields(block):
        if number == 2:
            links.append(_link_decode(_as_bytes(value)))
        elif number == 1 and data is None:
            data = _as_bytes(value)
        else:
            raise UnixFsError("A block is not canonical dag-pb.")
    if data is None:
        raise UnixFsError("A dag-pb block holds no UnixFS node.")
    kind, inline, size, sizes = _data_decode(data)
    if kind == _TYPE_DIRECTORY:
        return _directory(links, inline)
    if kind != _TYPE_FILE:
        raise UnixFsError(f"A UnixFS node of type {kind} is not supported; expected a file or a plain directory.")
    if len(sizes) != len(links):
        raise UnixFsError("A file node does not give one size per link.")
    total = len(inline) + sum(sizes)
    if size != total:
        raise UnixFsError("The sizes of a file node do not add up.")
    if 0 in sizes:  # no writer does that; it would let a small block stand for endless empty ones
        raise UnixFsError("A file node links to an empty part.")
    children = tuple(Link(link.cid, link.total, below) for link, below in zip(links, sizes, strict=True))
    return Node(False, children, total, inline)


def _directory(links: list[Link], inline: bytes) -> Node:
    names = [link.name for link in links]
    if inline or len(set(names)) != len(names):
        raise UnixFsError("A directory is malformed: it names an entry twice, or carries data.")
    for name in names:
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise UnixFsError(f"A directory has an entry named {name[:60]!a}, which no file can have.")
    return Node(True, tuple(links), 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a directory: its path below the root, the link to its root, and its size in bytes."""

    path: str
    cid: Cid
    size: int


Fetch = Callable[[Cid], bytes]


@dataclass(slots=True)
class Limits:
    """What a reader accepts of a stranger's directory: files and directories, bytes of content, levels."""

    max_entries: int = 1000
    max_bytes: int = 1 << 43
    max_depth: int = 6


def directory_walk(root: Cid, fetch: Fetch, limits: Limits | None = None) -> list[Entry]:
    """Every file below a directory, by path. Empty directories are passed over.

    `fetch` returns verified bytes of a block. Only directories and the topmost node of each file are fetched. Raises
    UnixFsError for what is malformed, too deep, too many or too large.
    """
    limits = limits or Limits()
    entries: list[Entry] = []
    seen = total = 0
    pending: list[tuple[str, Cid, int]] = [("", root, 0)]
    while pending:
        prefix, cid, depth = pending.pop()
        node = _node_fetch(cid, fetch)
        if not node.is_directory:
            raise UnixFsError("A release's root must be a directory.")
        if depth > limits.max_depth:
            raise UnixFsError(f"Directories are nested more than {limits.max_depth} deep.")
        for link in node.links:
            seen += 1
            path = f"{prefix}{link.name}"
            size, is_directory = _child_size(link, fetch)
            total += size
            if seen > limits.max_entries or total > limits.max_bytes:
                raise UnixFsError("The directory holds more files or bytes than are accepted.")
            if is_directory:
                pending.append((path + "/", link.cid, depth + 1))
            else:
                entries.append(Entry(path, link.cid, size))
    return sorted(entries, key=lambda entry: entry.path)


def _child_size(link: Link, fetch: Fetch) -> tuple[int, bool]:
    if link.cid.codec == RAW:
        # Tsize of a raw leaf is its length; it is a hint that `file_leaves` checks against the bytes.
        return link.total, False
    node = _node_fetch(link.cid, fetch)
    return node.size, node.is_directory


def _node_fetch(cid: Cid, fetch: Fetch) -> Node:
    if cid.codec != DAG_PB:
        raise UnixFsError("Expected a dag-pb node, found a raw block.")
    block = fetch(cid)
    if len(block) > MAX_BLOCK_BYTES:
        raise UnixFsError(f"A block is larger than {MAX_BLOCK_BYTES} bytes.")
    return node_decode(block)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A range of a file: either a raw leaf to fetch, or bytes that a node carried inline."""

    offset: int
    size: int
    cid: Cid | None
    inline: bytes = b""


def file_parts(entry: Entry, fetch: Fetch) -> Iterator[FilePart]:
    """The parts of a file in order, without fetching the leaves. Raises UnixFsError.

    The caller must check that each leaf has exactly `size` bytes.
    """
    pending = [(entry.cid, entry.size, 0)]
    offset = steps = 0
    while pending:
        cid, size, depth = pending.pop()
        steps += 1
        if steps > _FREE_PARTS + entry.size // _MIN_PART_BYTES:
            raise UnixFsError("A file is cut into absurdly small parts.")
        if cid.codec == RAW:
            if size > MAX_BLOCK_BYTES:
                raise UnixFsError(f"A leaf is larger than {MAX_BLOCK_BYTES} bytes.")
            yield FilePart(offset, size, cid)
            offset += size
            continue
        node = _node_fetch(cid, fetch)
        if node.is_directory or node.size != size or depth > _MAX_TREE_DEPTH:
            raise UnixFsError("A file's tree is malformed: wrong size, too deep, or a directory inside.")
        if node.inline:
            yield FilePart(offset, len(node.inline), None, node.inline)
            offset += len(node.inline)
        pending.extend((link.cid, link.size, depth + 1) for link in reversed(node.links))
