"""The checks of a whole release directory, in the order from cheap to dear. No part of a file is loaded or run."""

import hashlib
from pathlib import Path

from weighhouse.core.manifest import MAX_BYTES, Manifest, ManifestError, manifest_parse
from weighhouse.core.paths import MANIFEST

from models_registry.errors import refusal
from models_registry.intake.content import file_refusals
from models_registry.intake.model_files import model_refusals

Refusal = dict[str, str]


def manifest_read(directory: Path) -> Manifest:
    """The manifest of a release directory. Raises ManifestError, also where there is none."""
    path = directory / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise ManifestError("manifest", "the release has no manifest.json.")
    if path.stat().st_size > MAX_BYTES:
        raise ManifestError("manifest", f"expected at most {MAX_BYTES} bytes, got {path.stat().st_size}.")
    return manifest_parse(path.read_bytes())


def release_refusals(directory: Path) -> list[Refusal]:
    """Everything that stands against a release; empty when the model may be tried in the sandbox.

    1. The manifest parses, and the directory holds exactly the files that it lists, with their sizes and sha256.
    2. Each file is of an allowed kind and is what its name says.
    3. Together they are a model of the declared task.
    A step that refuses ends the checks: later ones would speak of files that are not what they seem.
    """
    try:
        manifest = manifest_read(directory)
    except ManifestError as error:
        remedy = "Build the release with this site's upload, or write the manifest as its documentation says."
        return [refusal(MANIFEST, error.code, error.message, remedy)]
    return (
        _listing_refusals(manifest, directory)
        or [refused for file in manifest.files for refused in file_refusals(file.path, directory / file.path)]
        or model_refusals(manifest, directory)
    )


def _listing_refusals(manifest: Manifest, directory: Path) -> list[Refusal]:
    listed = {file.path: file for file in manifest.files}
    held = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()}
    refused = [
        refusal(
            ascii(path)[1:-1],
            "file.undeclared",
            "a file that the manifest does not list",
            "Publish a release without it.",
        )
        for path in sorted(held - {MANIFEST} - set(listed))[:20]
    ]
    for path, file in listed.items():
        if path not in held or (directory / path).is_symlink():
            refused.append(refusal(path, "file.missing", "no such file, though the manifest lists it", "Add the file."))
        elif _size_and_hash(directory / path) != (file.size, file.sha256):
            found = "other bytes than the manifest says"
            refused.append(refusal(path, "file.mismatch", found, "Build the manifest from the files as they are."))
    return refused


def _size_and_hash(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
