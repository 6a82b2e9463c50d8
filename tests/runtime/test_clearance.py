"""A worker asks whether the sandbox holds, and relies on an answer only while nothing changed and nobody touched it."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from models_registry.runtime import clearance, sandbox, selfcheck
from models_registry.runtime.errors import SandboxUnavailable

HELD = selfcheck.Outcome("locked", "connect by TCP", "refused", "")
LOOSE = selfcheck.Outcome("spare", "read foreign files", "SUCCEEDED", "opened /etc/passwd")


@pytest.fixture(scope="module")
def plan(config):
    return sandbox.detect(replace(config, allow_degraded=True))


@pytest.fixture
def record(tmp_path):
    return tmp_path / "held.json"


@pytest.fixture
def checks(monkeypatch):
    """What the next checks find, and how often one was made. tests/hostile makes real ones."""
    made: list[Path] = []
    found = [HELD]

    def check(plan, *, files=()):
        made.extend(files or [Path("none")])
        return list(found)

    monkeypatch.setattr(selfcheck, "check", check)
    return SimpleNamespace(made=made, found=found)


def test_check_that_held_is_made_once(plan, record, checks):
    for _ in range(3):
        clearance.require_held(plan, record=record)
    assert len(checks.made) == 1
    assert record.stat().st_mode & 0o777 == 0o600


def test_attack_that_succeeded_refuses_every_time_and_is_named(plan, record, checks):
    checks.found.append(LOOSE)
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match=r"read foreign files \(spare\)") as caught:
            clearance.require_held(plan, record=record)
    assert caught.value.code == "sandbox.unavailable" and "/etc/passwd" not in caught.value.message
    assert len(checks.made) == 2 and not record.exists()


def test_attack_without_a_known_outcome_refuses(plan, record, checks):
    checks.found.append(replace(LOOSE, outcome="no answer"))
    with pytest.raises(SandboxUnavailable):
        clearance.require_held(plan, record=record)


def test_failed_check_forgets_what_held_before(plan, record, checks):
    clearance.require_held(plan, record=record)
    other = replace(plan, config=replace(plan.config, threads=7))
    checks.found.append(LOOSE)
    with pytest.raises(SandboxUnavailable):
        clearance.require_held(other, record=record)
    checks.found.remove(LOOSE)
    clearance.require_held(plan, record=record)
    assert len(checks.made) == 3


@pytest.mark.parametrize(
    "doubt",
    [
        lambda record: record.write_text("{"),
        lambda record: record.write_text("[]"),
        lambda record: record.write_text('{"held_in": "another boot"}'),
        lambda record: record.write_bytes(b"\xff" * 10_000),
        lambda record: record.chmod(0o620),
        lambda record: record.chmod(0o602),
        lambda record: os.link(record, record.with_name("second name")),
        lambda record: (record.rename(record.with_name("moved")), record.symlink_to(record.with_name("moved"))),
        lambda record: (record.unlink(), os.mkfifo(record)),
    ],
    ids=["cut", "other", "stale", "binary", "group-writes", "others-write", "linked", "symlink", "fifo"],
)
def test_record_in_doubt_means_another_check(plan, record, checks, doubt):
    clearance.require_held(plan, record=record)
    doubt(record)
    clearance.require_held(plan, record=record)
    assert len(checks.made) == 2
    clearance.require_held(plan, record=record)
    assert len(checks.made) == 2


def test_record_of_somebody_else_means_another_check(plan, record, checks):
    if os.geteuid() != 0:
        pytest.skip("A FILE CANNOT BE GIVEN AWAY: these tests do not run as root")
    clearance.require_held(plan, record=record)
    os.chown(record, 1_234_567_890, -1)
    clearance.require_held(plan, record=record)
    assert len(checks.made) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda plan, tmp: replace(plan, groups=None, landlock_abi=0),
        lambda plan, tmp: replace(plan, config=replace(plan.config, memory_bytes=1)),
        lambda plan, tmp: replace(plan, bwrap=str(other_program(tmp))),
        lambda plan, tmp: replace(plan, config=replace(plan.config, interpreter=other_program(tmp))),
    ],
    ids=["layers", "configuration", "bwrap", "interpreter"],
)
def test_circumstances_name_what_the_outcome_depends_on(plan, tmp_path, change):
    assert clearance.circumstances(plan) == clearance.circumstances(plan)
    assert clearance.circumstances(change(plan, tmp_path)) != clearance.circumstances(plan)


def test_circumstances_name_the_private_files_and_whether_they_are_there(plan, tmp_path):
    private = tmp_path / "site.sqlite3"
    none, named = clearance.circumstances(plan), clearance.circumstances(plan, files=[private])
    private.touch()
    assert len({none, named, clearance.circumstances(plan, files=[private])}) == 3


def attacked_spare(*failures: sandbox.NotGivenError):
    """A stage in which a spare gets its release only after these failures."""
    waiting = iter(failures)

    def together(name):
        failure = next(waiting, None)
        if failure is not None:
            raise failure
        yield replace(HELD, stage=name)

    return SimpleNamespace(together=together)


def test_spare_that_could_not_be_attacked_for_a_passing_reason_is_attacked_again():
    passing = sandbox.NotGivenError("it was slow")
    (outcome,) = selfcheck._spare_outcomes(attacked_spare(passing, passing))
    assert (outcome.stage, outcome.is_held) == ("spare", True)


def test_spare_that_is_never_attacked_fails_the_check():
    with pytest.raises(SandboxUnavailable, match="could not be attacked"):
        selfcheck._spare_outcomes(attacked_spare(*[sandbox.NotGivenError("it was slow")] * 10))


def test_spares_that_the_machine_does_not_permit_are_not_attacked_and_not_kept():
    assert selfcheck._spare_outcomes(attacked_spare(sandbox.NotGivenError("EPERM", is_permitted=False))) == []


def other_program(directory: Path) -> Path:
    path = directory / "program"
    path.write_text("other")
    return path


def test_record_that_cannot_be_kept_is_an_error_and_not_a_pass(plan, tmp_path, checks):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        clearance.require_held(plan, record=tmp_path / "file" / "held.json")
