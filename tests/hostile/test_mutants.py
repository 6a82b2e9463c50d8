"""Take one layer away, and the self-check says so: it can fail, and each layer is needed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "models_registry" / "runtime"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="THE MUTANTS CHANGE A ROOT WORKER'S SANDBOX: these tests do not run as root"
    ),
]

# What is taken away -> (file, text, replacement).
MUTANTS = {
    "network namespace": ("command.py", '("pid", "net", "ipc",', '("pid", "ipc",'),
    "process namespace": ("command.py", '("pid", "net", "ipc",', '("net", "ipc",'),
    "empty environment": ("sandbox.py", "env={},", ""),
    "read-only binds": ("command.py", 'words += ["--ro-bind", str(source)', 'words += ["--bind", str(source)'),
    "narrow binds": ("command.py", 'Path("/etc/ld.so.cache"),', 'Path("/etc"),'),
    "size of scratch space": ("command.py", '"1777", "--size", str(config.scratch_bytes),', '"1777",'),
    "user of its own": (
        "command.py",
        "    if identity is None:\n        return []\n    uid",
        "    if True:\n        return []\n    uid",
    ),
    "empty bounding set": ("command.py", "--bounding-set=-all", "--bounding-set=+all"),
    "closed descriptors": ("sandbox.py", "filter_fd),\n", 'filter_fd, os.open("/etc/passwd", os.O_RDONLY)),\n'),
    "membership of the group": ("command.py", "if group else []", "if False else []"),
    "denied calls": ("seccomp.py", "    program.each(DENIED_AT_START, _EPERM)\n", ""),
    "check of the architecture": (
        "seccomp.py",
        "_give(KILL),\n            _ins(_LOAD, _NUMBER_AT)",
        "_give(ALLOW),\n            _ins(_LOAD, _NUMBER_AT)",
    ),
    "Landlock": ("inside/lockdown.py", 'if landlock.abi() > 0 or not options["allow_degraded"]:', "if False:"),
    "work filter": (
        "inside/lockdown.py",
        '    seccomp.load(seccomp.work_filter(devices=bool(options["devices"])))\n',
        "",
    ),
}


CHECK = """
import sys
from models_registry.runtime import selfcheck
from models_registry.runtime.specs import SandboxConfig
sys.exit(selfcheck.report(SandboxConfig()))
"""


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", CHECK],
        cwd=tree,
        env={"PATH": os.environ["PATH"], "WORKER_SECRET": "secret"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(RUNTIME, tmp_path / "models_registry" / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    for directory in (tmp_path, tmp_path / "models_registry"):
        directory.chmod(0o755)
    return tmp_path


def test_untouched_copy_holds(tree):
    done = check(tree)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("missing", MUTANTS)
def test_sandbox_without_a_layer_is_found_out(tree, missing):
    name, text, replacement = MUTANTS[missing]
    path = tree / "models_registry" / "runtime" / name
    source = path.read_text()
    assert text in source, "the mutant no longer applies"
    path.write_text(source.replace(text, replacement))
    done = check(tree)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
