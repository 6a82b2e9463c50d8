"""A worker that cannot isolate does not start."""

import errno
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from models_registry.runtime import cgroups, identities, sandbox
from models_registry.runtime.errors import SandboxUnavailable
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.specs import SandboxConfig


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)


def test_machine_that_runs_the_tests_isolates(config):
    plan = sandbox.require(config)
    assert plan.isolation.startswith(f"bwrap-{'setpriv' if os.geteuid() == 0 else 'userns'}+")


def test_missing_bwrap_names_the_package(config, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="bubblewrap") as caught:
        sandbox.require(config)
    assert caught.value.code == "sandbox.unavailable" and caught.value.data == {"install": "bubblewrap"}


def test_configured_bwrap_that_is_not_there_is_named(config):
    with pytest.raises(SandboxUnavailable, match=r"/nonexistent/bwrap was not found"):
        sandbox.require(replace(config, bwrap="/nonexistent/bwrap"))


def test_bwrap_that_fails_is_reported_with_its_last_line(config, tmp_path):
    broken = script(tmp_path / "bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    with pytest.raises(SandboxUnavailable, match="No permissions to create new namespace"):
        sandbox.require(replace(config, bwrap=broken))


@pytest.mark.parametrize("runs", ["everything outside", "with the host's files"])
def test_bwrap_that_isolates_less_than_asked_is_found_out(config, tmp_path, runs):
    real = sandbox.detect(config).bwrap
    skip = 'while [ "$1" != -- ]; do shift; done; shift;'
    lines = {
        "everything outside": f'{skip} PYTHONPATH= exec "$@"',
        "with the host's files": f'exec {real} --dev-bind / / --die-with-parent -- "$@"',
    }
    with pytest.raises(SandboxUnavailable):
        sandbox.require(replace(config, bwrap=script(tmp_path / "bwrap", lines[runs])))


@pytest.mark.parametrize("lacks", ["group", "process"])
def test_machine_that_cannot_start_a_runner_any_more_is_not_the_models_fault(config, monkeypatch, lacks):
    def none_left(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    plan = sandbox.detect(config)
    if lacks == "group":
        plan = replace(plan, groups=SimpleNamespace(create=none_left))
    else:
        monkeypatch.setattr(sandbox.subprocess, "Popen", none_left)
    launcher = Launcher()
    try:
        with pytest.raises(SandboxUnavailable, match="No space left"):
            sandbox.launch(plan, launcher)
    finally:
        launcher.close()


def test_machine_without_a_thread_left_keeps_nothing_of_a_start(config, monkeypatch):
    def none_left(*_, **__):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sandbox, "LogTail", none_left)
    started, real = [], sandbox.subprocess.Popen

    def start(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(sandbox.subprocess, "Popen", start)
    plan, launcher = sandbox.detect(config), Launcher()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    try:
        for _ in range(3):
            with pytest.raises(SandboxUnavailable, match="can't start new thread"):
                sandbox.launch(plan, launcher)
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        assert [one.returncode for one in started] == [-9] * 3
    finally:
        launcher.close()


def test_payload_that_never_answers_is_given_up(config, tmp_path):
    slow = script(tmp_path / "bwrap", "exec sleep 60")
    with pytest.raises(SandboxUnavailable, match="TimeoutError"):
        sandbox.require(replace(config, bwrap=slow, start_timeout_s=0.5))


def test_no_control_group_is_refused_outside_the_demo(config):
    with pytest.raises(SandboxUnavailable, match="control group"):
        sandbox.require(replace(config, cgroup_root=Path("/weighhouse-nowhere/at/all")))


def test_no_control_group_in_the_demo_is_named_and_logged(config, caplog):
    with caplog.at_level(logging.WARNING):
        plan = sandbox.require(replace(config, cgroup_root=Path("/weighhouse-nowhere/at/all"), allow_degraded=True))
    assert "+rlimit-watchdog+" in plan.isolation and plan.is_degraded
    assert "degraded" in caplog.text


def test_no_landlock_is_refused_outside_the_demo(config, monkeypatch):
    monkeypatch.setattr(sandbox.landlock, "abi", lambda: 0)
    with pytest.raises(SandboxUnavailable, match="Landlock"):
        sandbox.require(config)


def test_group_has_its_limits_and_is_removed(config):
    groups = cgroups.detect()
    if groups is None:
        pytest.skip("NO CONTROL GROUP CAN BE MADE HERE: memory caps are not tested")
    group = groups.create(memory_bytes=64 * 2**20, processes=7, threads=3)
    limit = "memory.limit_in_bytes" if groups.version == 1 else "memory.max"
    assert int((group.memory / limit).read_text()) == 64 * 2**20
    assert (group.pids / "pids.max").read_text().strip() == "7"
    if group.cpu is not None:
        weight = "cpu.shares" if groups.version == 1 else "cpu.weight"
        assert int((group.cpu / weight).read_text()) == 3 * (1024 if groups.version == 1 else 100)
    group.remove()
    assert not any(directory.exists() for directory in group.directories)


def test_group_of_a_dead_owner_is_swept_and_that_of_a_live_one_is_not(config):
    groups = cgroups.detect()
    if groups is None:
        pytest.skip("NO CONTROL GROUP CAN BE MADE HERE: memory caps are not tested")
    live = groups.create(memory_bytes=64 * 2**20, processes=7)
    namespace = live.memory.name.split("-")[1]
    dead = groups.memory / f"weighhouse-{namespace}-{2**22 + 1}-12345-1"
    dead.mkdir()
    weight = None if groups.cpu is None else groups.cpu / dead.name
    if weight is not None:
        weight.mkdir(exist_ok=True)
    groups.sweep()
    assert live.memory.exists() and not dead.exists() and not (weight and weight.exists())
    live.remove()


def test_place_without_a_weight_is_taken_too(monkeypatch):
    groups = cgroups.detect()
    if groups is None:
        pytest.skip("NO CONTROL GROUP CAN BE MADE HERE: memory caps are not tested")
    nowhere = replace(groups, cpu=Path("/sys/fs/cgroup/nowhere"))
    monkeypatch.setattr(cgroups, "_candidates", lambda delegated: [nowhere])
    assert cgroups.detect() == replace(groups, cpu=None)
    assert "+cpu" not in replace(sandbox.detect(SandboxConfig()), groups=cgroups.detect()).isolation


def test_identity_is_never_leased_twice_at_once():
    leased = [identities.lease(1_879_000_000, 3) for _ in range(3)]
    try:
        assert len({identity.uid for identity in leased}) == 3
        with pytest.raises(SandboxUnavailable, match="taken"):
            identities.lease(1_879_000_000, 3)
    finally:
        for identity in leased:
            identity.release()
    identities.lease(1_879_000_000, 3).release()


def test_identity_with_an_account_is_passed_over():
    with pytest.raises(SandboxUnavailable):
        identities.lease(0, 1)


def test_default_configuration_degrades_nothing():
    assert SandboxConfig().allow_degraded is False
