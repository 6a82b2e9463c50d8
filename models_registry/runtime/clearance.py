"""A worker serves only where the self-check held: asked once, and again when something changed that it depends on.

The whole list takes some ten seconds, most of them imports, which is too long for every start. What it found is kept in
a file that belongs to the worker's user, for as long as the machine runs and everything named in `circumstances` stays
as it was. Any doubt about the file means another check.
"""

import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from models_registry.runtime import selfcheck
from models_registry.runtime.errors import SandboxUnavailable
from models_registry.runtime.plan import Plan

logger = logging.getLogger(__name__)

_LARGEST = 4096
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OF_THE_KERNEL = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/version",
    "/sys/kernel/security/lsm",
    "/proc/self/attr/current",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/user/max_user_namespaces",
)
_OF_THE_PROCESS = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")


def require_held(plan: Plan, *, record: Path, files: Sequence[Path] = ()) -> None:
    """Return where every attack fails on this machine. Raises SandboxUnavailable where one does not, or may not.

    1. Wait for another worker that checks the same at this moment.
    2. Rely on the record, if it is ours and names today's circumstances.
    3. Otherwise forget it, attack, and record that all was held.
    """
    today = circumstances(plan, files=files)
    with _locked(record):
        if recorded(record) == today:
            logger.info("The self-check held on this machine since it was started, and nothing has changed.")
            return
        record.unlink(missing_ok=True)
        outcomes = selfcheck.check(plan, files=files)
        loose = [outcome for outcome in outcomes if not outcome.is_held]
        if loose:
            names = ", ".join(f"{outcome.name} ({outcome.stage})" for outcome in loose[:5])
            raise SandboxUnavailable(
                f"The sandbox does not hold on this machine: {len(loose)} of {len(outcomes)} attacks were not refused: "
                f"{names}. `manage.py sandbox_check` shows all; docs/sandbox.md says what a machine needs."
            )
        _write(record, today)
    logger.info("The self-check held: %d attacks were refused.", len(outcomes))


def circumstances(plan: Plan, *, files: Sequence[Path] = ()) -> str:
    """A digest of what the outcome depends on: boot, kernel, rights, programs, configuration, and this code.

    `files` are those that the check found unreadable inside.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    facts = {
        "kernel": {path: _text(Path(path)) for path in _OF_THE_KERNEL},
        "process": {name: status.get(name, "").strip() for name in _OF_THE_PROCESS},
        "user namespace": Path("/proc/self/ns/user").stat().st_ino,
        "isolation": plan.isolation,
        "groups": str(plan.groups and (plan.groups.memory, plan.groups.pids, plan.groups.cpu)),
        "configuration": {name: str(value) for name, value in asdict(plan.config).items()},
        "programs": {path: _digest(Path(path)) for path in (plan.bwrap, plan.prlimit, plan.setpriv) if path},
        "files": {str(path): path.exists() for path in sorted(files)},
        "interpreter": _stamp(plan.config.interpreter),
        "libraries": {str(path): _stamp(path) for path in plan.config.libraries},
        "code": {str(path): _digest(path) for path in sorted(Path(__file__).parent.rglob("*.py"))},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def recorded(record: Path) -> str:
    """The circumstances in which the check held last; empty where the file is missing, or may be another's word."""
    try:
        descriptor = os.open(record, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        is_ours = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and state.st_nlink == 1
        if not is_ours or state.st_mode & _OTHERS_MAY_WRITE:
            return ""
        content = file.read(_LARGEST)
    try:
        return str(json.loads(content)["held_in"])
    except (ValueError, KeyError, TypeError):
        return ""


def _write(record: Path, held_in: str) -> None:
    """Whole or not at all, readable by us alone."""
    descriptor, name = tempfile.mkstemp(dir=record.parent, prefix=f".{record.name}-")
    with os.fdopen(descriptor, "w") as file:
        json.dump({"held_in": held_in}, file)
    Path(name).rename(record)


@contextmanager
def _locked(record: Path) -> Iterator[None]:
    record.parent.mkdir(parents=True, exist_ok=True)
    # No truncation, no following: the name may be a trap where others may write to the directory.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(record.with_name(f"{record.name}.lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_ino, state.st_size, state.st_mtime_ns]
