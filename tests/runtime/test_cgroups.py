"""Version 2's file names, on a copy of its layout: this says nothing about a kernel."""

from pathlib import Path

import pytest

from models_registry.runtime import cgroups


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
    assert (hierarchy / "unit/cgroup.subtree_control").read_text() == "+memory +pids"


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
