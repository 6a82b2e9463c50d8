"""Is each file what its name says? Every check reads the file itself and loads nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from weighhouse.core import canonical, safetensors_header

from models_registry.errors import refusal
from models_registry.intake import sniff
from models_registry.intake.layout import Kind, path_refusal, rule_for, size_refusal

Refusal = dict[str, str]

_JSON_IN_REQUEST_BYTES = 1 << 20
_SAFETENSORS_REMEDY = "Save the weights again with safetensors and upload the whole file."
# Values under these keys name code outside the release, or switch running it on.
_CODE_KEYS = {"auto_map", "custom_pipelines", "trust_remote_code", "custom_generate"}
# These may name a kernel or a module on a hub, written with a slash.
_KERNEL_KEYS = {"attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation"}


def file_refusals(path: str, file: Path, *, in_request: bool = False) -> list[Refusal]:
    """Why this file cannot be part of a release; empty when it can. `file` holds the bytes, `path` is its name.

    `in_request`: a large JSON is not parsed, which takes seconds that the web process owes to others. The check of the
    release parses it.
    """
    refused = path_refusal(path)
    if refused:
        return [refused]
    if file.is_symlink() or not file.is_file():
        return [refusal(path, "file.link", "a link or a special file", "Upload the file itself.")]
    refused = size_refusal(path, file.stat().st_size)
    if refused:
        return [refused]
    rule = rule_for(path)
    assert rule is not None  # noqa: S101 - path_refusal passed
    if rule.kind is Kind.WEIGHTS:
        return _weights(path, file)
    refused = _disguise_refusal(path, file)
    is_for_later = in_request and rule.kind is Kind.JSON and file.stat().st_size > _JSON_IN_REQUEST_BYTES
    if refused or is_for_later:
        return [refused] if refused else []
    return _CHECKS[rule.kind](path, file)


def _disguise_refusal(path: str, file: Path) -> Refusal | None:
    found = sniff.found_in(file)
    if not sniff.is_dangerous(found):
        found = sniff.hidden_in(file)
    if not found:
        return None
    code = "file.pickle" if "pickle" in found else "file.archive" if "archive" in found else "file.not_allowed"
    return refusal(path, code, found, "Leave it out, or upload the file that the name promises.")


def _weights(path: str, file: Path) -> list[Refusal]:
    """The header decides first: its length field may look like another format's mark, and a well-formed file is none.

    What follows such a length, zero bytes and a brace, is no pickle, archive or program; only a ZIP can hide behind it.
    """
    try:
        safetensors_header.header_read(file)
    except safetensors_header.SafetensorsError as error:
        disguised = _disguise_refusal(path, file)
        return [disguised or refusal(path, error.code, error.message, _SAFETENSORS_REMEDY)]
    if sniff.ends_as_zip(file):
        return [refusal(path, "file.archive", sniff.APPENDED_ZIP, _SAFETENSORS_REMEDY)]
    return []


def json_read(file: Path) -> Any:
    """The JSON of a file. Raises JsonError."""
    return canonical.loads(file.read_bytes())


def _json(path: str, file: Path) -> list[Refusal]:
    try:
        value = json_read(file)
    except canonical.JsonError as error:
        return [refusal(path, error.code, error.message, "Upload valid JSON in UTF-8.")]
    if not isinstance(value, dict) and path != "modules.json":
        return [refusal(path, "json.invalid", "JSON that is not an object", "Upload the file that transformers wrote.")]
    return [
        refusal(path, "config.custom_code", found, "Remove the key. Releases cannot bring or fetch code of their own.")
        for found in code_references(value)
    ]


def code_references(value: Any) -> list[str]:
    """Every place in a JSON value that would make a library load code: sentences for a refusal."""
    found: list[str] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            for key, child in item.items():
                if key in _CODE_KEYS and child:
                    found.append(f"the key {key!r}, which asks for custom code")
                elif key in _KERNEL_KEYS and isinstance(child, str) and "/" in child:
                    found.append(f"the key {key!r}, which names a kernel on a hub")
                pending.append(child)
    return sorted(set(found))


def _text(path: str, file: Path) -> list[Refusal]:
    data = file.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [refusal(path, "text.invalid", f"bytes that are not UTF-8 at {error.start}", "Save the text as UTF-8.")]
    if "\0" in text:
        return [refusal(path, "text.invalid", "a NUL byte", "Upload a plain text file.")]
    return []


def _image(path: str, file: Path) -> list[Refusal]:
    data = file.read_bytes()
    suffix = path.rsplit(".", 1)[1].lower()
    kind = "jpg" if suffix == "jpeg" else suffix
    if not _IMAGES[kind](data):
        found = sniff.found_in(file) or "bytes of another kind"
        return [
            refusal(path, "image.invalid", f"{found}, damaged or under the wrong name", f"Save it as {kind} again.")
        ]
    return []


def _is_png(data: bytes) -> bool:
    """A PNG whose chunks end with IEND exactly at the end of the file."""
    at = 8
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at == len(data)
    return False


def _is_jpeg(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9"


def _is_webp(data: bytes) -> bool:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return False
    return int.from_bytes(data[4:8], "little") + 8 == len(data)


_IMAGES: dict[str, Callable[[bytes], bool]] = {"png": _is_png, "jpg": _is_jpeg, "webp": _is_webp}
_CHECKS: dict[Kind, Callable[[str, Path], list[Refusal]]] = {
    Kind.JSON: _json,
    Kind.TEXT: _text,
    Kind.IMAGE: _image,
}
