"""Running Python as a user without privileges, also where interpreter and repository lie in root's home."""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 1_234_567_890  # no account, and outside the runners' range


def run(code: str, *arguments: str, reachable: Sequence[Path] = ()) -> str:
    """Run Python code as NOBODY (as ourselves where we are not root) and return what it printed.

    `reachable` are directories that it must be able to pass, beside interpreter, packages and repository.
    """
    interpreter = [str(Path(sys.executable).resolve()), "-B", "-c", code, *arguments]
    libraries = [str(ROOT), str(ROOT / "sdk"), *_libraries()]
    environment = {"PYTHONPATH": ":".join(libraries), "PATH": os.environ["PATH"], "WORKER_SECRET": "secret"}
    done = subprocess.run(
        _as_nobody(interpreter, reachable) if os.geteuid() == 0 else interpreter,
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if done.returncode != 0:
        raise AssertionError(f"exit status {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout


def _as_nobody(command: list[str], reachable: Sequence[Path]) -> list[str]:
    """A mount namespace in which every needed path can be reached, then another user."""
    drop = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--", *command]
    needed = [Path(sys.base_prefix).resolve(), ROOT, *map(Path, _libraries()), *reachable]
    script = "\n".join(["set -e", *_opened(needed), "exec " + shlex.join(drop)])
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("THE UNPRIVILEGED WAY IS NOT TESTED: this container may not make a mount namespace (CAP_SYS_ADMIN)")
    return ["unshare", "--mount", "sh", "-c", script]


def _opened(needed: list[Path]) -> list[str]:
    """Shell lines that replace closed ancestors by open, empty directories which hold the needed paths alone."""
    closed = {path: blocking for path in needed if (blocking := _closed_ancestor(path))}
    if not closed:
        return []
    lines = ["stash=$(mktemp -d)", "mount -t tmpfs -o mode=0755 tmpfs $stash"]
    for number, path in enumerate(closed):
        lines += [f"mkdir $stash/{number}", f"mount --bind {shlex.quote(str(path))} $stash/{number}"]
    lines += [f"mount -t tmpfs -o mode=0755 tmpfs {shlex.quote(str(blocking))}" for blocking in set(closed.values())]
    for number, path in enumerate(closed):
        lines += [f"mkdir -p {shlex.quote(str(path))}", f"mount --bind $stash/{number} {shlex.quote(str(path))}"]
    return lines


def _closed_ancestor(path: Path) -> Path | None:
    """The topmost directory above a path that others may not pass."""
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)


def _libraries() -> list[str]:
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(str(Path(paths[key]).resolve()) for key in ("purelib", "platlib")))


@contextmanager
def delegated_group() -> Iterator[str]:
    """A group in the version 1 hierarchies that belongs to NOBODY; its path within them."""
    name = f"weighhouse-test-{os.getpid()}"
    directories = [Path("/sys/fs/cgroup") / hierarchy / name for hierarchy in ("memory", "pids")]
    try:
        for directory in directories:
            directory.mkdir()
            for path in (directory, directory / "cgroup.procs"):
                os.chown(path, NOBODY, NOBODY)
        yield f"/{name}"
    finally:
        for directory in directories:
            if directory.exists():
                directory.rmdir()
