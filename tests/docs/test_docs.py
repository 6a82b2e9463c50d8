"""The documentation names everything that a user or operator can meet."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from marketplace.api_errors import STATUS

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = sorted((ROOT / "marketplace" / "settings").glob("*.py"))
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def settings_read() -> Iterator[str]:
    """Every name that a settings module reads: the first argument of `env.<type>("NAME", ...)`."""
    for path in SETTINGS:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "env"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield f"WEIGHHOUSE_{node.args[0].value}"


def environment_readers() -> list[str]:
    """Modules of the server that name `os.environ` or `os.getenv`. Entry points may choose the settings module."""
    found = []
    for package in ("chain", "models_registry", "marketplace", "sdk"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text().replace('os.environ.setdefault("DJANGO_SETTINGS_MODULE"', "")
            if re.search(r"\bos\.(environ|getenv)\b", text):
                found.append(path.relative_to(ROOT).as_posix())
    return sorted(found)


def error_codes() -> set[str]:
    """Every `code = "..."` of a class in the source, and every code that the HTTP map knows."""
    codes: set[str] = set()
    for package in ("chain", "models_registry", "marketplace", "sdk/weighhouse"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    codes.update(_codes_of(node))
    return codes | set(STATUS)


def refusal_codes() -> set[str]:
    """Codes of refusals: the second argument of `refusal(path, code, found, remedy)`, or a value given to `code`."""
    codes: set[str] = set()
    for path in (ROOT / "models_registry").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "refusal":
                codes.update(_strings(node.args[1]))
            elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "code" for t in node.targets):
                codes.update(_strings(node.value))
    return {code for code in codes if re.fullmatch(r"[a-z_]+\.[a-z_]+", code)}


def _strings(node: ast.AST) -> set[str]:
    return {
        str(part.value) for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def _codes_of(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant) and value.value:
            yield str(value.value)


def test_settings_read_are_found() -> None:
    names = set(settings_read())
    assert len(names) > 30
    assert {"WEIGHHOUSE_SECRET_KEY", "WEIGHHOUSE_RPC_URL"} <= names


@pytest.mark.parametrize("name", sorted(set(settings_read())))
def test_setting_that_is_read_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "operation.md").read_text()
    assert re.search(rf"^#?{name}=", (ROOT / ".env.example").read_text(), re.MULTILINE)


def test_documented_settings_are_read() -> None:
    documented = re.findall(r"^\| `(WEIGHHOUSE_\w+)`", (ROOT / "docs" / "operation.md").read_text(), re.MULTILINE)
    listed = re.findall(r"^#?(WEIGHHOUSE_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(listed) == sorted(set(settings_read()))


def test_environment_is_read_in_one_place() -> None:
    # The self-check runs inside the sandbox and looks for variables that should not be there.
    assert environment_readers() in ([], ["models_registry/runtime/selfcheck.py"])


def test_make_help_names_every_target_and_no_other() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for line in re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE) for target in line.split()}
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^\s*make ([a-z-]+) ", text, re.MULTILINE)) == targets
    assert makefile.startswith("# Weighhouse: what `make` does here.")


def test_error_codes_are_documented_with_their_status() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\d+|none) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    documented = {code: None if status == "none" else int(status) for code, status in rows}
    assert len(rows) == len(documented)
    assert documented == {code: STATUS.get(code) for code in error_codes()}


def test_refusal_codes_are_documented() -> None:
    errors, _, refusals = (ROOT / "docs" / "errors.md").read_text().partition("## Refusals of files")
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", refusals, re.MULTILINE))
    assert len(refusal_codes()) > 10
    assert refusal_codes() - error_codes() == documented
    for code in refusal_codes() & error_codes():
        assert f"| `{code}` |" in errors


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_compose_file_gives_the_sandboxs_permissions_to_workers_alone() -> None:
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    loose = [name for name, service in services.items() if "seccomp=unconfined" in service.get("security_opt", [])]
    assert sorted(loose) == ["intake", "worker"]
    assert all("privileged" not in service for service in services.values())
