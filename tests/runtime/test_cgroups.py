"""Version 2's file names, on a copy of its layout: it says nothing about a kernel. A bind mount of version 1."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from models_registry.runtime import cgroups

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hierarchy(tmp_path, monkeypatch):
    """A delegated group with a worker's group below it, as systemd makes them."""
    (tmp_path / "unit/worker").mkdir(parents=True)
    for directory in (tmp_path / "unit", tmp_path / "unit/worker", tmp_path):
        (directory / "cgroup.controllers").write_text("cpu memory pids\n")
        (directory / "cgroup.subtree_control").write_text("")
    monkeypatch.setattr(cgroups, "_own_paths", lambda: {"": "/unit/worker"})
    monkeypatch.setattr(cgroups, "_mounts", lambda: {"": (tmp_path, "/")})
    return tmp_path


def test_candidates_of_version_two_are_own_group_then_parent_then_root(hierarchy):
    places = [candidate.memory for candidate in cgroups._candidates(None)]
    assert places == [hierarchy / "unit/worker", hierarchy / "unit", hierarchy]


def test_controllers_are_handed_down(hierarchy):
    cgroups._candidates(None)
    assert (hierarchy / "unit/cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_controllers_are_handed_down_where_there_is_none_for_the_processor(hierarchy):
    (hierarchy / "unit/cgroup.controllers").write_text("memory pids\n")
    places = {candidate.memory: candidate.cpu for candidate in cgroups._candidates(None)}
    assert (hierarchy / "unit/cgroup.subtree_control").read_text() == "+memory +pids"
    assert places[hierarchy / "unit"] is None


def test_group_of_version_two_weighs_as_its_threads(hierarchy):
    (hierarchy / "cgroup.subtree_control").write_text("cpu memory pids")
    place = cgroups._candidates(None)[-1]
    group = place.create(memory_bytes=1234, processes=9, threads=3)
    assert group.cpu == group.memory and (group.cpu / "cpu.weight").read_text() == "300"
    group.weigh(0)
    assert (group.cpu / "cpu.weight").read_text() == "12"
    group.weigh(1000)
    assert (group.cpu / "cpu.weight").read_text() == "10000"


def test_group_of_version_two_gets_its_limits_and_counts_kills(hierarchy):
    group = cgroups.Cgroups(2, hierarchy, hierarchy).create(memory_bytes=1234, processes=9)
    assert (group.memory / "memory.max").read_text() == "1234"
    assert (group.memory / "memory.oom.group").read_text() == "1"
    assert (group.pids / "pids.max").read_text() == "9"
    (group.memory / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n")
    (group.memory / "memory.current").write_text("4096\n")
    assert (group.out_of_memory_kills(), group.memory_used()) == (2, 4096)
    assert group.join_files == (group.memory / "cgroup.procs",)


def test_delegated_path_is_the_only_candidate(hierarchy):
    (hierarchy / "mine").mkdir()
    (hierarchy / "mine/cgroup.controllers").write_text("memory pids")
    assert [candidate.memory for candidate in cgroups._candidates(Path("/mine"))] == [hierarchy / "mine"]


BOUND = """
import sys
from pathlib import Path
from models_registry.runtime import cgroups
found = cgroups.detect(Path(sys.argv[1]))
print(found and found.memory)
"""


def test_group_that_a_container_was_given_by_a_bind_mount_is_found():
    """As an engine does it: the delegated group alone is mounted, so that the mount's root is not the hierarchy's."""
    groups = cgroups.detect()
    if os.geteuid() != 0 or groups is None or groups.version != 1:
        pytest.skip("A GROUP IS NOT BOUND HERE: this machine has no writable version 1 hierarchy")
    name = f"weighhouse-bound-{os.getpid()}"
    directories = [Path("/sys/fs/cgroup") / hierarchy / name for hierarchy in ("memory", "pids")]
    for directory in directories:
        directory.mkdir()
    binds = [f"mount --bind {directory} {directory}" for directory in directories]
    run = shlex.join([sys.executable, "-c", BOUND, f"/{name}"])
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", " && ".join([*binds, f"exec {run}"])],
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for directory in directories:
            directory.rmdir()
    if "unshare" in done.stderr:
        pytest.skip("A GROUP IS NOT BOUND HERE: this container may not make a mount namespace (CAP_SYS_ADMIN)")
    assert done.stdout.strip() == str(directories[0]), done.stderr
