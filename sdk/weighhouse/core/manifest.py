"""`manifest.json`: what a release says about itself.

The file lies at the release's root in canonical JSON, so that one manifest has one byte string. It
lists every other file of the release. Reading one is reading a stranger's text: `manifest_parse`
accepts exactly the fields below and nothing else.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from license_expression import ExpressionError, get_spdx_licensing

from weighhouse.core import canonical
from weighhouse.core.cid import CidError, digest_parse
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.paths import MANIFEST, PathError, path_check, path_collision

VERSION = 1
MAX_BYTES = 1 << 20
MAX_FILES = 1000
MAX_FILE_BYTES = 1 << 42

LIBRARIES = ("transformers",)
DTYPES = ("float32", "float16", "bfloat16")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TASK = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LICENSING = get_spdx_licensing()
_T = TypeVar("_T")


# The one way in which canonical JSON writes the character that databases cannot store.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class ManifestError(WeighhouseError):
    """A manifest breaks a rule. `data["field"]` says which field, as a path such as `files[2].size`."""

    code = "manifest.invalid"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"Manifest field {field}: {problem}", field=field)
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file: path relative to the release's root, size in bytes, sha256 in lower-case hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs the model: a library of LIBRARIES and the dtype of its weights, one of DTYPES."""

    library: str = "transformers"
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A release's description. `files` is sorted by path and leaves out `manifest.json` itself.

    `publisher` is an address (0x and 40 hex digits), `licence` an SPDX expression, `base_models` the
    digests of releases that this one derives from, `input_schema` a JSON Schema or empty for the
    task's own, `encryption` None for an open release.
    """

    publisher: str
    name: str
    task: str
    licence: str
    files: tuple[ManifestFile, ...]
    summary: str = ""
    base_models: tuple[str, ...] = ()
    runtime: Runtime = field(default_factory=Runtime)
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    encryption: None = None
    version: int = VERSION

    @property
    def total_bytes(self) -> int:
        """The size of all listed files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON value, in the field names of the file."""
        value = asdict(self)
        value["files"] = [asdict(file) for file in self.files]
        value["base_models"] = list(self.base_models)
        return value

    def to_bytes(self) -> bytes:
        """The canonical bytes of `manifest.json`."""
        return canonical.dumps(self.to_json())


def licence_check(expression: str) -> str:
    """Return the SPDX expression in its canonical spelling. Raises ManifestError for `licence`.

    `LicenseRef-` names are SPDX's own way to name a licence outside its list and are accepted.
    """
    text = _text(expression, "licence", low=1, high=200)
    try:
        parsed = _LICENSING.parse(text, validate=False)
        unknown = [key for key in _LICENSING.unknown_license_keys(parsed) if not key.startswith("LicenseRef-")]
    except (ExpressionError, ValueError, TypeError, RecursionError) as error:
        raise ManifestError("licence", f"{text!r} is not an SPDX expression: {error}.") from None
    if parsed is None or unknown:
        named = ", ".join(unknown) or text
        raise ManifestError("licence", f"SPDX does not list {named!r}. Use an identifier such as Apache-2.0 or MIT.")
    return str(parsed.render())


def _text(value: Any, name: str, *, low: int, high: int) -> str:
    if not isinstance(value, str):
        raise ManifestError(name, f"expected text, got {type(value).__name__}.")
    if not low <= len(value) <= high:
        raise ManifestError(name, f"expected {low} to {high} characters, got {len(value)}.")
    if not value.isprintable():
        raise ManifestError(name, "control characters, line breaks and invisible characters are not allowed.")
    if value != value.strip():
        raise ManifestError(name, "white space at the beginning or the end is not allowed.")
    return value


def _match(value: Any, name: str, pattern: re.Pattern[str], expected: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ManifestError(name, f"expected {expected}.")
    return value


def _choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed or not isinstance(value, str):
        raise ManifestError(name, f"expected one of {', '.join(allowed)}, got {str(value)[:40]!r}.")
    return value


def _object(value: Any, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ManifestError(name, f"expected an object, got {type(value).__name__}.")
    missing = [key for key in keys if key not in value]
    if missing:
        raise ManifestError(f"{name}.{missing[0]}".removeprefix("manifest."), "the field is missing.")
    extra = sorted(set(value) - set(keys))
    if extra:
        raise ManifestError(f"{name}.{extra[0][:40]}".removeprefix("manifest."), "there is no such field.")
    return value


def _list(value: Any, name: str, most: int, item: Callable[[Any, str], _T]) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise ManifestError(name, f"expected a list, got {type(value).__name__}.")
    if len(value) > most:
        raise ManifestError(name, f"expected at most {most} entries, got {len(value)}.")
    return tuple(item(entry, f"{name}[{index}]") for index, entry in enumerate(value))


def _file(value: Any, name: str) -> ManifestFile:
    entry = _object(value, name, ("path", "size", "sha256"))
    size = entry["size"]
    if type(size) is not int or not 0 <= size <= MAX_FILE_BYTES:
        raise ManifestError(f"{name}.size", f"expected bytes from 0 to {MAX_FILE_BYTES}, got {str(size)[:40]}.")
    if not isinstance(entry["path"], str):
        raise ManifestError(f"{name}.path", "expected text.")
    try:
        path = path_check(entry["path"])
    except PathError as error:
        raise ManifestError(f"{name}.path", error.message) from None
    if path.lower() == MANIFEST:
        raise ManifestError(f"{name}.path", "the manifest does not list itself.")
    return ManifestFile(path, size, _match(entry["sha256"], f"{name}.sha256", _SHA256, "64 lower-case hex digits"))


def _files(value: Any) -> tuple[ManifestFile, ...]:
    files = _list(value, "files", MAX_FILES, _file)
    if not files:
        raise ManifestError("files", "a release must list at least one file.")
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise ManifestError("files", "the entries must be sorted by path, each path once.")
    collision = path_collision(paths)
    if collision:
        raise ManifestError("files", f"{collision[0]!r} and {collision[1]!r} collide on some file systems.")
    return files


def _digest(value: Any, name: str) -> str:
    try:
        return "0x" + digest_parse(value).hex()
    except CidError as error:
        raise ManifestError(name, error.message) from None


def _runtime(value: Any) -> Runtime:
    entry = _object(value, "runtime", ("library", "dtype"))
    return Runtime(
        library=_choice(entry["library"], "runtime.library", LIBRARIES),
        dtype=_choice(entry["dtype"], "runtime.dtype", DTYPES),
    )


_FIELDS = (
    "version",
    "publisher",
    "name",
    "summary",
    "task",
    "licence",
    "files",
    "base_models",
    "runtime",
    "input_schema",
    "encryption",
)


def manifest_from_json(value: Any) -> Manifest:
    """Build a Manifest from a JSON value, checking every field. Raises ManifestError."""
    entry = _object(value, "manifest", _FIELDS)
    if type(entry["version"]) is not int or entry["version"] != VERSION:
        raise ManifestError("version", f"expected {VERSION}, got {str(entry['version'])[:40]}.")
    if entry["encryption"] is not None:
        raise ManifestError("encryption", "sealed releases are not supported by this version; expected null.")
    if not isinstance(entry["input_schema"], dict):
        raise ManifestError("input_schema", "expected an object.")
    return Manifest(
        publisher=_match(entry["publisher"], "publisher", _ADDRESS, "an address: 0x and 40 hex digits"),
        name=_text(entry["name"], "name", low=1, high=80),
        summary=_text(entry["summary"], "summary", low=0, high=280),
        task=_text(
            _match(entry["task"], "task", _TASK, "a pipeline task such as text-generation"), "task", low=1, high=60
        ),
        licence=licence_check(entry["licence"]),
        files=_files(entry["files"]),
        base_models=_list(entry["base_models"], "base_models", 32, _digest),
        runtime=_runtime(entry["runtime"]),
        input_schema=entry["input_schema"],
    )


def manifest_parse(data: bytes) -> Manifest:
    """Parse the bytes of a `manifest.json`. Raises ManifestError, also when they are not canonical."""
    if len(data) > MAX_BYTES:
        raise ManifestError("manifest", f"expected at most {MAX_BYTES} bytes, got {len(data)}.")
    try:
        manifest = manifest_from_json(canonical.loads(data))
        canonical_data = manifest.to_bytes()
    except canonical.JsonError as error:
        raise ManifestError("manifest", error.message) from None
    if canonical_data != data:
        raise ManifestError("manifest", "the bytes are not canonical JSON (RFC 8785).")
    if _NUL.search(data):
        raise ManifestError("manifest", "a string holds a NUL character.")
    return manifest
