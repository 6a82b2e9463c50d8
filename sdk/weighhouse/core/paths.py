"""Which file paths a release may hold.

Stricter than any file system: a path that passes means the same file on every platform, in a URL, in
a UnixFS directory and on a screen. Pure, shared by client and server.
"""

import re

from weighhouse.core.errors import WeighhouseError

MAX_LENGTH = 200
MAX_DEPTH = 4
MANIFEST = "manifest.json"

_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
# Windows opens these as devices, with any extension.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class PathError(WeighhouseError):
    """A path that a release may not hold. `data` has `path`, `reason` and `remedy`."""

    code = "path.invalid"

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        shown = ascii(path[: MAX_LENGTH + 20])[1:-1]
        super().__init__(f"The path {shown} {reason}. {remedy}", path=shown, reason=reason, remedy=remedy)


def _component_check(path: str, component: str) -> None:
    if component in {"", ".", ".."}:
        raise PathError(
            path, "has an empty, '.' or '..' component", "Use plain relative paths such as model.safetensors."
        )
    if component.startswith("."):
        raise PathError(path, "names a hidden file", "Leave hidden files out, or rename them.")
    if not _COMPONENT.fullmatch(component):
        raise PathError(path, "has a character that is not allowed", "Use only letters, digits, and . _ + - in names.")
    if component.endswith("."):
        raise PathError(path, "has a name that ends with a dot", "Rename the file.")
    if _DEVICE.fullmatch(component):
        raise PathError(path, "has a name that Windows reserves for a device", "Rename the file.")


def path_check(path: str) -> str:
    """Return `path` when a release may hold it. Raises PathError."""
    if len(path) > MAX_LENGTH:
        raise PathError(path, f"is longer than {MAX_LENGTH} characters", "Use shorter names.")
    if path.startswith("/"):
        raise PathError(path, "is absolute", "Use a path relative to the release's root.")
    components = path.split("/")
    if len(components) > MAX_DEPTH:
        raise PathError(path, f"is more than {MAX_DEPTH} levels deep", "Use a flatter directory.")
    for component in components:
        _component_check(path, component)
    return path


def path_collision(paths: list[str]) -> tuple[str, str] | None:
    """Two paths that one file system could confuse: equal but for case, or one a directory of the other."""
    seen: dict[str, str] = {}
    for path in sorted(paths):
        folded = path.lower()
        if folded in seen:
            return seen[folded], path
        seen[folded] = path
    for folded, path in seen.items():
        parts = folded.split("/")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent in seen:
                return seen[parent], path
    return None
