"""Every attack, through the production launch function, both as root and as an unprivileged worker."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from models_registry.runtime import attacks, cgroups, sandbox, selfcheck
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.specs import SandboxConfig
from tests.hostile import unprivileged

ROOT = Path(__file__).resolve().parents[2]
SECRET_NAME = "WEIGHHOUSE_TEST_SECRET"

# As somebody who may read the bait's files: the same check, printed as JSON.
CHECK = """
import json, sys
from pathlib import Path
from models_registry.runtime import sandbox, selfcheck
from models_registry.runtime.specs import SandboxConfig
options = json.loads(sys.argv[1])
config = SandboxConfig(
    libraries=tuple(map(Path, options["libraries"])),
    allow_degraded=options["allow_degraded"],
    cgroup_root=Path(options["cgroup"]) if options["cgroup"] else None,
)
plan = sandbox.require(config)
outcomes = selfcheck.check(plan, files=[Path(path) for path in options["files"]])
print(json.dumps([plan.isolation, [[o.stage, o.name, o.outcome, o.detail] for o in outcomes]]))
"""

# What the attacks find where nothing confines them. Run as a process of its own, since some would fork.
CONTROL = """
import json, sys
from models_registry.runtime import attacks
facts = json.loads(sys.argv[1])
print(json.dumps([attacks.attempt(attacks.BY_NAME[name], facts) for name in sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory) -> Path:
    """A stand-in for the site's database, readable to whoever is not confined."""
    path = tmp_path_factory.mktemp("site") / "weighhouse.sqlite3"
    path.parent.chmod(0o755)
    path.write_text("secret")
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def held(secret_file) -> list[selfcheck.Outcome]:
    """One check of this machine's own way, with a secret in the worker's environment."""
    os.environ[SECRET_NAME] = "secret"
    try:
        return selfcheck.check(sandbox.require(SandboxConfig()), files=[secret_file])
    finally:
        del os.environ[SECRET_NAME]


def failures(outcomes: Sequence[selfcheck.Outcome]) -> list[str]:
    return [f"{o.stage}: {o.name}: {o.detail}" for o in outcomes if not o.is_held]


def test_every_attack_is_held(held):
    assert failures(held) == []


def test_every_attack_ran_in_its_stages(held):
    expected = {(stage, attack.name) for attack in attacks.ATTACKS for stage in attack.stages}
    expected |= {("spare", attack.name) for attack in attacks.ATTACKS if "locked" in attack.stages}
    expected |= {("locked", attack.name) for attack in attacks.FATAL}
    assert {(outcome.stage, outcome.name) for outcome in held} == expected
    assert len(expected) > 300


def test_memory_bomb_is_ended_by_its_cap(held):
    bomb = next(outcome for outcome in held if outcome.name == "memory bomb")
    assert (bomb.outcome, bomb.detail) == ("ended", "out of memory")


UNCONFINED = [
    "find a shell",
    "fork",
    "clone by system call",
    "connect by TCP",
    "send by UDP",
    "connect to an abstract unix socket",
    "open a netlink socket",
    "read foreign files",
    "read foreign files through /proc",
    "find other files",
    "read the worker's environment",
    "see other processes",
    "signal the host",
    "reach control groups",
    "find inherited descriptors",
    "hold privileges",
    "system call ptrace",
    "system call process_vm_readv",
    "system call keyctl",
    "system call io_uring_register",
    "system call socket",
    "system call pidfd_open",
    "system call inotify_init1",
]


@pytest.mark.parametrize("name", UNCONFINED)
def test_attack_without_a_sandbox_succeeds(name, secret_file):
    """An attack that fails everywhere would prove nothing."""
    with selfcheck.bait(sandbox.detect(SandboxConfig(allow_degraded=True)), [secret_file]) as (_, facts):
        spare = os.open("/etc/hostname", os.O_RDONLY)
        facts |= {"foreign_variables": [SECRET_NAME], "readable": ["/usr"], "channel": 99}
        done = subprocess.run(
            [sys.executable, "-c", CONTROL, json.dumps(facts), name],
            env={SECRET_NAME: "x", "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
            cwd="/",
            stdout=subprocess.PIPE,
            pass_fds=[spare],
            check=False,
        )
        os.close(spare)
    (outcome,) = json.loads(done.stdout.splitlines()[-1])
    assert outcome["outcome"] == "SUCCEEDED", outcome


def test_report_prints_a_table_and_gives_its_status(capsys, monkeypatch, held):
    monkeypatch.setattr(selfcheck, "check", lambda plan, files=(): held)
    assert selfcheck.report(SandboxConfig()) == 0
    assert f"{len(held)} attacks, 0 succeeded" in capsys.readouterr().out
    broken = [*held, selfcheck.Outcome("locked", "connect by TCP", "SUCCEEDED", "connected")]
    monkeypatch.setattr(selfcheck, "check", lambda plan, files=(): broken)
    assert selfcheck.report(SandboxConfig()) == 1
    assert "SUCCEEDED  connected" in capsys.readouterr().out


def test_report_without_bwrap_gives_status_two(capsys):
    assert selfcheck.report(SandboxConfig(bwrap="/nonexistent/bwrap")) == 2
    assert "bubblewrap" in capsys.readouterr().err


@pytest.mark.parametrize("outcome", ["no answer", "None", "", "Refused"])
def test_attack_whose_outcome_is_unknown_is_not_held(outcome):
    assert not selfcheck.Outcome("locked", "connect by TCP", outcome, "").is_held


def test_attack_that_ends_its_process_leaves_the_others_to_another_process(monkeypatch):
    """Every attack is really made: a dead process refuses nothing."""
    monkeypatch.setattr(attacks, "ATTACKS", (attacks.FATAL[-1], *attacks.ATTACKS[2:4]))
    plan = sandbox.require(SandboxConfig())
    launcher = Launcher()
    try:
        with selfcheck.bait(plan, []) as bait:
            outcomes = list(selfcheck._Stage(plan, launcher, bait).together("spare"))
    finally:
        launcher.close()
    assert outcomes[0].outcome == "ended" and len(outcomes) == 3
    assert [outcome.outcome for outcome in outcomes[1:]] == ["refused", "refused"]


def check_as_nobody(secret_file, **options) -> tuple[str, list[selfcheck.Outcome]]:
    options = {
        "libraries": [str(path) for path in SandboxConfig().libraries],
        "allow_degraded": False,
        "cgroup": None,
        "files": [str(secret_file)],
        **options,
    }
    output = unprivileged.run(CHECK, json.dumps(options), reachable=[secret_file.parent])
    isolation, rows = json.loads(output.splitlines()[-1])
    return isolation, [selfcheck.Outcome(*row) for row in rows]


def test_every_attack_on_an_unprivileged_worker_is_held_in_the_demo(secret_file):
    isolation, outcomes = check_as_nobody(secret_file, allow_degraded=True, cgroup="/weighhouse-nowhere")
    assert isolation.startswith("bwrap-userns+rlimit-watchdog+")
    assert failures(outcomes) == [] and len(outcomes) > 300
    assert {outcome.stage for outcome in outcomes} == {"start", "locked", "spare"}


def test_every_attack_on_an_unprivileged_worker_with_a_delegated_group_is_held(secret_file):
    if os.geteuid() != 0:
        pytest.skip("A GROUP CANNOT BE DELEGATED: these tests do not run as root")
    groups = cgroups.detect()
    if groups is None or groups.version != 1:
        pytest.skip("A GROUP IS NOT DELEGATED HERE: this machine has no writable version 1 hierarchy")
    with unprivileged.delegated_group() as path:
        isolation, outcomes = check_as_nobody(secret_file, cgroup=path)
    assert isolation.startswith("bwrap-userns+cgroup1+")
    assert failures(outcomes) == []
    bomb = next(outcome for outcome in outcomes if outcome.name == "memory bomb")
    assert bomb.detail == "out of memory"
