"""CIDs equal those that two independent implementations agree on, and hostile nodes are refused."""

import json
import random
from pathlib import Path

import pytest
from weighhouse.core import unixfs

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
