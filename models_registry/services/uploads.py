"""Uploads: what a publisher sends, file by file."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from weighhouse.core.manifest import Manifest, ManifestError, manifest_from_json
from weighhouse.core.paths import path_collision

from models_registry.errors import (
    FileRefusedError,
    UploadFileNotFoundError,
    UploadInvalidError,
    UploadLimitError,
    UploadNotFoundError,
    refusal,
)
from models_registry.intake.content import file_refusals
from models_registry.intake.layout import path_refusal, size_refusal
from models_registry.intake.receive import PART_PREFIX, Readable, Received, file_received
from models_registry.models import Upload, UploadedFile
from models_registry.runtime.tasks import TASKS

_METADATA = ("name", "summary", "task", "licence", "base_models")


def upload_create(*, publisher: str, metadata: Mapping[str, Any]) -> Upload:
    """Open an upload.

    `metadata` has `name`, `task` (one of TASKS), `licence` (SPDX), and may have `summary`, `library`, `dtype`,
    `base_models` (digests) and `model_id` (the model that this will be a new release of).
    Raises UploadInvalidError, UploadLimitError.
    """
    checked = metadata_manifest(publisher, metadata)
    if checked.task not in TASKS:
        raise UploadInvalidError(f"task: expected one of {', '.join(TASKS)}, got {checked.task!r}.", field="task")
    with transaction.atomic():
        if Upload.objects.filter(publisher=publisher).count() >= settings.UPLOAD_MAX_OPEN:
            raise UploadLimitError(
                f"You have {settings.UPLOAD_MAX_OPEN} uploads already. Delete those that you no longer need.",
                limit=settings.UPLOAD_MAX_OPEN,
            )
        return Upload.objects.create(
            publisher=publisher,
            library=checked.runtime.library,
            dtype=checked.runtime.dtype,
            base_models=list(checked.base_models),
            model_id=metadata.get("model_id"),
            **{name: getattr(checked, name) for name in ("name", "summary", "task", "licence")},
        )


def upload_delete(*, upload: Upload) -> None:
    """Delete an upload with its files. Releases made from it stay."""
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).delete()
    shutil.rmtree(upload_directory(upload), ignore_errors=True)


def upload_file_put(*, upload: Upload, path: str, stream: Readable, size: int, sha256: str = "") -> UploadedFile:
    """Receive one file of exactly `size` bytes; a file of the same path is replaced.

    1. Refuse what path, size and limits alone rule out.
    2. Receive into a temporary file, hashing; compare with `sha256` where given.
    3. Look at the content: a pickle under another name is not kept either. A large JSON is parsed by the check alone.
    4. Under the upload's lock: check the limits again, rename, write the row.
    A process that dies before 4 leaves no row and no file, and sending the file again does no harm after 4.

    Raises FileRefusedError, UploadLimitError, UploadTruncatedError, UploadChecksumError, UploadStorageFullError, and
    UploadNotFoundError when the upload was deleted meanwhile.
    """
    refused = path_refusal(path) or size_refusal(path, size)
    if refused:
        raise _file_refused(refused)
    _limits_check(upload, path, size)
    with file_received(stream, size=size, directory=upload_directory(upload), expected_sha256=sha256) as received:
        try:
            refusals = file_refusals(path, received.part, in_request=True) if received.part.exists() else []
            if refusals:
                raise _file_refused(refusals[0])
            return _file_keep(upload, path, received)
        except FileNotFoundError:
            raise _deleted_meanwhile() from None


def upload_file_delete(*, upload: Upload, path: str) -> None:
    """Take a file out of an upload. Raises UploadFileNotFoundError."""
    with transaction.atomic():
        _upload_lock(upload)
        deleted, _ = UploadedFile.objects.filter(upload=upload, path=path).delete()
        if not deleted:
            raise UploadFileNotFoundError(f"The upload has no file {path[:200]!a}.", path=path[:200])
    _blobs_tidy(upload)


def upload_directory(upload: Upload) -> Path:
    """Where the upload's blobs lie, each named by its sha256."""
    return Path(settings.UPLOAD_DIR) / str(upload.pk)


def metadata_manifest(publisher: str, metadata: Mapping[str, Any]) -> Manifest:
    """A manifest of the metadata alone, its file list a placeholder. Raises UploadInvalidError."""
    given = {name: metadata[name] for name in _METADATA if name in metadata}
    placeholder = {"path": "model.safetensors", "size": 0, "sha256": "0" * 64}
    value = {
        "version": 1,
        "publisher": publisher,
        "summary": "",
        "base_models": [],
        "runtime": {
            "library": metadata.get("library") or "transformers",
            "dtype": metadata.get("dtype") or "float32",
        },
        "input_schema": {},
        "encryption": None,
        "files": [placeholder],
        **given,
    }
    try:
        return manifest_from_json(value)
    except ManifestError as error:
        raise UploadInvalidError(f"{error.field}: {error.problem}", field=error.field) from error


def _upload_lock(upload: Upload) -> None:
    """Serialise changes of one upload. SQLite has one writer at a time anyway."""
    list(Upload.objects.select_for_update().filter(pk=upload.pk))


def _limits_check(upload: Upload, path: str, size: int) -> None:
    others = UploadedFile.objects.filter(upload=upload).exclude(path=path)
    held = others.aggregate(total=Sum("size"))["total"] or 0
    for what, value, limit in (
        ("bytes in one file", size, settings.UPLOAD_MAX_FILE_BYTES),
        ("bytes in all", held + size, settings.UPLOAD_MAX_TOTAL_BYTES),
        ("files", others.count() + 1, settings.UPLOAD_MAX_FILES),
    ):
        if value > limit:
            raise UploadLimitError(f"This site accepts {limit} {what}; {value} came.", limit=limit, path=path)
    collision = path_collision([*others.values_list("path", flat=True), path])
    if collision:
        other = collision[0] if collision[0] != path else collision[1]
        remedy = "Rename one of the two."
        raise _file_refused(refusal(path, "path.collision", f"a name that collides with {other}", remedy))


def _file_keep(upload: Upload, path: str, received: Received) -> UploadedFile:
    with transaction.atomic():
        _upload_lock(upload)
        # Another request may have added files, or deleted the upload, while this one was receiving.
        _limits_check(upload, path, received.size)
        if not Upload.objects.filter(pk=upload.pk).update(updated_at=timezone.now()):
            raise _deleted_meanwhile()
        received.part.rename(upload_directory(upload) / received.sha256)
        file, _ = UploadedFile.objects.update_or_create(
            upload=upload, path=path, defaults={"size": received.size, "sha256": received.sha256}
        )
    _blobs_tidy(upload)
    return file


def _blobs_tidy(upload: Upload) -> None:
    """Delete blobs that no row names any more. The lock keeps a blob that is about to be named."""
    with transaction.atomic():
        _upload_lock(upload)
        named = set(UploadedFile.objects.filter(upload=upload).values_list("sha256", flat=True))
        directory = upload_directory(upload)
        if directory.is_dir():
            for blob in directory.iterdir():
                if blob.name not in named and not blob.name.startswith(PART_PREFIX):
                    blob.unlink(missing_ok=True)


def _file_refused(refused: dict[str, str]) -> FileRefusedError:
    where = refused["path"] or "The file"
    return FileRefusedError(f"{where}: found {refused['found']}. {refused['remedy']}", refusal=refused)


def _deleted_meanwhile() -> UploadNotFoundError:
    return UploadNotFoundError("The upload was deleted while the file arrived. Nothing of it was kept.")
