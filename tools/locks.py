"""Checks that the locks hold what their .in files ask for. Needs no network.

For every requirement of `requirements*.in`: the .txt beside it pins one version for each platform marker, that version
satisfies the requirement, and every pin carries a hash. `package-lock.json` names the versions of `package.json`.
"""

import json
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    problems = [problem for path in sorted(ROOT.glob("requirements*.in")) for problem in lock_problems(path)]
    problems += package_problems(ROOT)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("`make lock` writes the Python locks, `npm install --package-lock-only` the other.", file=sys.stderr)
    return 1 if problems else 0


def lock_problems(source: Path) -> list[str]:
    """Sentences about what `source` (a .in file) asks for and its lock does not hold."""
    lock = source.with_suffix(".txt")
    if not lock.exists():
        return [f"{lock.name} is missing"]
    pins, problems = _pins(lock)
    # What -c names is locked in the other file already, and must agree with it.
    for line in source.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-c "):
            constraints, _ = _pins(source.parent / text.removeprefix("-c ").strip())
            problems += [
                f"{lock.name} pins {name} {version}, the constraints do not"
                for name, versions in pins.items()
                for version in versions - constraints.get(name, versions)
            ]
        elif text:
            problems += _unmet(Requirement(text), pins, lock.name)
    return problems


def package_problems(root: Path) -> list[str]:
    """Sentences about versions of package.json that package-lock.json does not name."""
    wanted = json.loads((root / "package.json").read_text()).get("devDependencies", {})
    locked = json.loads((root / "package-lock.json").read_text())["packages"]
    return [
        f"package-lock.json has {locked.get(f'node_modules/{name}', {}).get('version')} of {name}, not {version}"
        for name, version in wanted.items()
        if locked.get(f"node_modules/{name}", {}).get("version") != version
    ]


def _unmet(requirement: Requirement, pins: dict[str, set[str]], lock: str) -> list[str]:
    versions = pins.get(canonicalize_name(requirement.name), set())
    if not versions:
        return [f"{lock} does not pin {requirement.name}"]
    return [
        f"{lock} pins {requirement.name} {version}, asked for is {requirement}"
        for version in versions
        if not requirement.specifier.contains(version, prereleases=True)
    ]


def _pins(lock: Path) -> tuple[dict[str, set[str]], list[str]]:
    """Pinned versions by canonical name, and sentences about lines that are no pins with hashes."""
    pins: dict[str, set[str]] = {}
    problems = []
    for entry in lock.read_text().replace("\\\n", " ").splitlines():
        text, _, hashes = entry.partition(" --hash=")
        text = text.partition("#")[0].strip()
        if not text:
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{lock.name}: {text!r} is not a requirement")
            continue
        if not hashes or not str(requirement.specifier).startswith("=="):
            problems.append(f"{lock.name}: {text!r} is not a pin with a hash")
        version = str(requirement.specifier).removeprefix("==")
        pins.setdefault(canonicalize_name(requirement.name), set()).add(version)
    return pins, problems


if __name__ == "__main__":
    sys.exit(main())
