"""CIDs equal those that two independent implementations agree on, and hostile nodes are refused."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weighhouse.core import unixfs
from weighhouse.core.cid import DAG_PB, RAW, Cid
from weighhouse.core.unixfs import UnixFsError

GOLDEN = json.loads(Path(__file__).with_name("golden_cids.json").read_text())["cids"]
PROFILES = {
    "kubo_default_256KiB_width174": unixfs.Profile(262144, 174),
    "unixfs-v1-2025_1MiB_width1024": unixfs.Profile(),
}
SIZES = (0, 1, 262143, 262144, 262145, 1048576, 1048577, 45613056, 45613057, 47185921)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The files and the tree that golden_cids.json describes."""
    root = tmp_path_factory.mktemp("golden")
    draw = random.Random(1)
    for size in SIZES:
        data = draw.randbytes(size)
        if f"f{size}" in GOLDEN["kubo_default_256KiB_width174"]:
            (root / f"f{size}").write_bytes(data)
    tree = root / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "config.json").write_bytes(b"{}")
    (tree / "a" / "x.txt").write_bytes(b"hi")
    (tree / "a" / "b" / "é🙂.bin").write_bytes(draw.randbytes(600000))
    (tree / "a" / "b" / "zero").write_bytes(b"")
    (tree / "A").write_bytes(b"A")
    (tree / ".hid").write_bytes(b"h")
    return root


@pytest.mark.parametrize(
    ("profile", "name"), [(profile, name) for profile in PROFILES for name in GOLDEN[profile] if name != "tree"]
)
def test_file_import_of_a_golden_input_gives_the_golden_cid(inputs, profile, name):
    link = unixfs.file_add(unixfs.Dag(), inputs / name, PROFILES[profile])
    assert str(link.cid) == GOLDEN[profile][name]


@pytest.mark.parametrize("profile", PROFILES)
def test_directory_import_of_the_golden_tree_gives_the_golden_cid(inputs, profile):
    assert str(unixfs.directory_import(inputs / "tree", PROFILES[profile]).root) == GOLDEN[profile]["tree"]


def test_directory_import_of_a_link_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(UnixFsError, match="link"):
        unixfs.directory_import(tmp_path)


def test_directory_import_beyond_one_block_is_refused(tmp_path):
    dag = unixfs.Dag()
    links = [unixfs.Link(Cid.of(RAW, b""), 0, 0, f"{number:06}" + "x" * 100) for number in range(2000)]
    with pytest.raises(UnixFsError, match="too large"):
        unixfs.directory_node_add(dag, links)


def test_directory_walk_of_the_golden_tree_finds_every_file(inputs):
    dag = unixfs.directory_import(inputs / "tree")
    entries = unixfs.directory_walk(dag.root, dag.block)
    assert [(entry.path, entry.size) for entry in entries] == [
        ("A", 1),
        ("a/b/zero", 0),
        ("a/b/é🙂.bin", 600000),
        ("a/x.txt", 2),
        ("config.json", 2),
    ]


class Blocks(dict):
    """Blocks by CID, as a stranger's node would serve them."""

    def node(self, links, data: bytes) -> Cid:
        block = unixfs.node_encode(links, data)
        cid = Cid.of(DAG_PB, block)
        self[cid] = block
        return cid

    def file(self, parts: list[tuple[Cid, int]], size: int) -> Cid:
        data = b"\x08\x02\x18" + unixfs._varint(size) + b"".join(b"\x20" + unixfs._varint(part) for _, part in parts)
        return self.node([unixfs.Link(cid, part) for cid, part in parts], data)

    def directory(self, **entries: Cid) -> Cid:
        return self.node([unixfs.Link(cid, 1, 0, name) for name, cid in entries.items()], b"\x08\x01")


def parts(blocks: Blocks, cid: Cid, size: int) -> list[unixfs.FilePart]:
    return list(unixfs.file_parts(unixfs.Entry("a", cid, size), blocks.__getitem__))


def test_directory_walk_of_a_directory_that_repeats_itself_is_bounded():
    blocks = Blocks()
    node = blocks.directory(a=Cid.of(RAW, b""))
    for _ in range(6):
        node = blocks.directory(**{f"d{number}": node for number in range(50)})
    with pytest.raises(UnixFsError, match="more files or bytes"):
        unixfs.directory_walk(node, blocks.__getitem__)


def test_directory_walk_of_a_deep_directory_is_bounded():
    blocks = Blocks()
    node = blocks.directory(a=Cid.of(RAW, b""))
    for _ in range(10):
        node = blocks.directory(d=node)
    with pytest.raises(UnixFsError, match="nested"):
        unixfs.directory_walk(node, blocks.__getitem__)


def test_directory_walk_beyond_the_bytes_accepted_is_refused():
    blocks = Blocks()
    file = blocks.file([(Cid.of(RAW, b"a"), 1 << 20)], 1 << 20)
    root = blocks.directory(a=file, b=file)
    with pytest.raises(UnixFsError, match="more files or bytes"):
        unixfs.directory_walk(root, blocks.__getitem__, unixfs.Limits(max_bytes=1 << 20))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_directory_walk_of_an_entry_that_no_file_can_be_is_refused(name):
    blocks = Blocks()
    root = blocks.directory(**{name: Cid.of(RAW, b"")})
    with pytest.raises(UnixFsError, match="named"):
        unixfs.directory_walk(root, blocks.__getitem__)


def test_directory_walk_of_a_file_as_root_is_refused():
    blocks = Blocks()
    with pytest.raises(UnixFsError, match="root must be a directory"):
        unixfs.directory_walk(blocks.file([(Cid.of(RAW, b"a"), 1)], 1), blocks.__getitem__)


def test_file_parts_of_endless_empty_parts_is_refused():
    blocks = Blocks()
    with pytest.raises(UnixFsError, match="empty part"):
        parts(blocks, blocks.file([(Cid.of(RAW, b""), 0)] * 1000, 0), 0)


def test_file_parts_of_crumbs_is_refused():
    blocks = Blocks()
    crumb = (Cid.of(RAW, b"a"), 1)
    with pytest.raises(UnixFsError, match="small parts"):
        parts(blocks, blocks.file([crumb] * 20_000, 20_000), 20_000)


def test_file_parts_of_sizes_that_do_not_add_up_is_refused():
    blocks = Blocks()
    inner = blocks.file([(Cid.of(RAW, b"ab"), 2)], 2)
    with pytest.raises(UnixFsError, match="malformed"):
        parts(blocks, blocks.file([(inner, 5)], 5), 5)


def test_file_parts_of_an_endless_chain_is_bounded():
    blocks = Blocks()
    node = blocks.file([(Cid.of(RAW, b"a"), 1)], 1)
    for _ in range(20):
        node = blocks.file([(node, 1)], 1)
    with pytest.raises(UnixFsError, match="too deep"):
        parts(blocks, node, 1)


@given(st.binary(max_size=200))
def test_node_decode_of_noise_raises_nothing_but_its_own_error(block):
    try:
        unixfs.node_decode(block)
    except UnixFsError:
        return


@given(st.data())
def test_node_decode_of_a_spoiled_node_raises_nothing_but_its_own_error(data):
    blocks = Blocks()
    good = bytearray(blocks[blocks.directory(a=Cid.of(RAW, b""), b=Cid.of(RAW, b"b"))])
    position = data.draw(st.integers(0, len(good) - 1))
    good[position] ^= data.draw(st.integers(1, 255))
    try:
        unixfs.node_decode(bytes(good[: data.draw(st.integers(0, len(good)))]))
    except UnixFsError:
        return
