"""`manage.py sandbox_check`: the table for people, and what a worker relied on is forgotten where it fails."""

import os
from pathlib import Path

import pytest
from django.core.management import call_command

from models_registry.runners import clearance_record, private_files
from models_registry.runtime import selfcheck

HELD = selfcheck.Outcome("locked", "connect by TCP", "refused", "")


@pytest.fixture
def record():
    path = clearance_record()
    path.write_text('{"held_in": "some boot"}')
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def record_of_another(record):
    path = record.with_name("sandbox-held-1234567890.json")
    path.write_text('{"held_in": "some boot"}')
    yield path
    path.unlink(missing_ok=True)


def run() -> int:
    with pytest.raises(SystemExit) as caught:
        call_command("sandbox_check")
    return caught.value.code


def test_sandbox_check_without_a_sandbox_says_what_to_install_and_forgets(settings, record, capsys):
    settings.SANDBOX_BWRAP = "/nonexistent/bwrap"
    assert run() == 2
    assert "bubblewrap" in capsys.readouterr().err and not record.exists()


def test_failed_check_forgets_what_held_for_every_user_and_says_who_asked(settings, record, record_of_another, capsys):
    settings.SANDBOX_BWRAP = "/nonexistent/bwrap"
    assert run() == 2
    assert not record.exists() and not record_of_another.exists()
    assert f"Tried as user {os.geteuid()}. What counts is the user of the workers" in capsys.readouterr().out


def test_record_that_may_not_be_removed_is_named(settings, record, record_of_another, monkeypatch, capsys):
    settings.SANDBOX_BWRAP = "/nonexistent/bwrap"
    unlink = Path.unlink

    def refused(path, **options):
        if path == record_of_another:
            raise PermissionError
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refused)
    assert run() == 2
    monkeypatch.undo()
    assert record_of_another.name in capsys.readouterr().err and not record.exists()


@pytest.mark.parametrize(("outcome", "status"), [("refused", 0), ("SUCCEEDED", 1), ("no answer", 1)])
def test_sandbox_check_prints_each_outcome_and_keeps_only_what_held(monkeypatch, record, capsys, outcome, status):
    """The attacks themselves are real in tests/hostile."""
    found = [HELD, selfcheck.Outcome("spare", "write to the model", outcome, "as tried")]
    tried = []
    monkeypatch.setattr(selfcheck, "check", lambda plan, files=(): tried.extend(files) or found)
    assert run() == status
    assert f"spare   write to the model {outcome}" in capsys.readouterr().out
    assert record.exists() == (status == 0)
    assert tried == private_files()
