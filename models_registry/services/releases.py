"""Releases made from an upload: recorded, enqueued for the check, and ready to be signed."""

import logging
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from weighhouse.core.cid import Cid, digest_hex, digest_parse
from weighhouse.core.manifest import Manifest, ManifestFile

from chain.transactions import TransactionRequest, call_data
from models_registry.errors import ReleaseCidMismatchError, ReleaseEmptyError, ReleaseTooManyChecksError
from models_registry.intake import staging
from models_registry.intake.trial import tool_chain
from models_registry.models import Release, ReleaseState, Upload
from models_registry.services.uploads import metadata_manifest, upload_directory

logger = logging.getLogger(__name__)

CHECK_TASK = "models_registry.tasks.release_check"
_METADATA = ("name", "summary", "task", "licence", "base_models", "library", "dtype")
# A verdict of the runner may have been the machine's fault. It may be asked for again after this long.
RUNNER_VERDICT_STANDS = timedelta(minutes=10)
_CHECK_S = 30  # about what a check takes
WAITS_FOR_WORKER = "Waits for a worker to check it."


def release_submit(*, upload: Upload, expected_cid: str | None = None) -> Release:
    """Make a release of the upload's files as they are now, and have it checked.

    1. Write the manifest and lay the files out, by hard links; compute the root CID; compare with `expected_cid`.
    2. Record the release as `checking`, unless too many of the publisher's are. The same files give the same release:
       one that is `ready` is returned as it is, one that was refused with its refusals, until the check could end
       otherwise.
    3. Once that is committed, enqueue the check. A broker that is down delays it, the sweep makes up for it.

    Raises ReleaseEmptyError, FileRefusedError, ReleaseCidMismatchError, ReleaseTooManyChecksError, CidError.
    """
    expected = Cid.parse(expected_cid) if expected_cid else None
    manifest, blobs = _manifest_build(upload)
    uploads = Path(settings.UPLOAD_DIR)
    directory = staging.staging_build(uploads, manifest, blobs)
    try:
        root = staging.staging_root(directory)
        if expected is not None and expected != root:
            raise ReleaseCidMismatchError(
                f"The files that arrived have the root CID {root}; you expected {expected}. Compare the list of files "
                "and the metadata, then submit again.",
                expected=str(expected),
                computed=str(root),
            )
        return _release_record(upload, manifest, root, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def release_check_enqueue(release: Release) -> None:
    """Ask a worker to check the release, once the current transaction is committed."""
    release_id = release.pk
    transaction.on_commit(lambda: _send(release_id))


def release_transaction(release: Release, *, model_id: int | None = None) -> TransactionRequest:
    """The transaction that puts a ready release on chain: `release` of a model where one is given, else `publish`."""
    digest = digest_parse(release.digest)
    if model_id is None:
        return call_data("ModelRegistry", "publish", [digest, [], 0])
    return call_data("ModelRegistry", "release", [model_id, digest])


def _send(release_id: int) -> None:
    try:
        current_app.send_task(CHECK_TASK, args=[release_id])
    except BrokerError as error:
        logger.warning("release %s waits for the sweep, the broker does not answer: %s", release_id, error)


def _manifest_build(upload: Upload) -> tuple[Manifest, dict[str, Path]]:
    files = sorted(upload.files.all(), key=lambda file: file.path)
    if not files:
        raise ReleaseEmptyError("The upload holds no file. Send the model's files first.")
    metadata = {name: getattr(upload, name) for name in _METADATA}
    manifest = replace(
        metadata_manifest(upload.publisher, metadata),
        files=tuple(ManifestFile(file.path, file.size, file.sha256) for file in files),
    )
    return manifest, {file.path: upload_directory(upload) / file.sha256 for file in files}


def _release_record(upload: Upload, manifest: Manifest, root: Cid, directory: Path) -> Release:
    described = {
        "upload": upload,
        "publisher": manifest.publisher,
        "name": manifest.name,
        "summary": manifest.summary,
        "task": manifest.task,
        "licence": manifest.licence,
        "manifest": manifest.to_json(),
        "total_bytes": manifest.total_bytes,
    }
    with transaction.atomic():
        release, created = Release.objects.select_for_update().get_or_create(
            digest=digest_hex(root), defaults=described
        )
        if release.state == ReleaseState.READY or _refusal_stands(release):
            return release
        uploads = Path(settings.UPLOAD_DIR)
        if not created and release.state == ReleaseState.CHECKING and staging.staging_path(uploads, root).is_dir():
            release_check_enqueue(release)  # the first message may have been lost
            return release
        _checks_limit(release, manifest.publisher)
        staging.staging_place(uploads, directory, root)
        for name, value in described.items():
            setattr(release, name, value)
        release.state, release.refusals = ReleaseState.CHECKING, []
        release.notice, release.check_after = WAITS_FOR_WORKER, None
        release.attempts = release.crashes = 0
        release.save()
        release_check_enqueue(release)
    return release


def _refusal_stands(release: Release) -> bool:
    """Whether another check of a refused release would only say the same again."""
    if release.state != ReleaseState.REFUSED or release.checked_with != tool_chain():
        return False
    is_of_runner = any(refused["code"].startswith("runner.") for refused in release.refusals)
    checked_at = release.checked_at
    return not is_of_runner or (checked_at is not None and timezone.now() < checked_at + RUNNER_VERDICT_STANDS)


def _checks_limit(release: Release, publisher: str) -> None:
    """Raises ReleaseTooManyChecksError where the publisher has no check left for this release."""
    limit = settings.RELEASE_MAX_CHECKING
    others = Release.objects.filter(publisher=publisher, state=ReleaseState.CHECKING).exclude(pk=release.pk)
    if others.count() >= limit:
        raise ReleaseTooManyChecksError(
            f"{limit} releases of yours are being checked, the most at once. Wait until one of the checks has "
            "ended, then submit this upload again.",
            limit=limit,
            retry_after=_CHECK_S,
        )
