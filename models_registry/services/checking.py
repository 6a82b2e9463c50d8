"""The check of a release: what a worker does before anybody may buy the model."""

import logging
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.manifest import Manifest
from weighhouse.core.paths import PathError
from weighhouse.core.unixfs import UnixFsError

from models_registry.errors import (
    BlockCorruptError,
    BlockMissingError,
    ReleaseTooLargeError,
    StoreRootMismatchError,
    StoreUnavailableError,
    refusal,
)
from models_registry.intake import staging
from models_registry.intake.checks import Refusal, manifest_read, release_refusals
from models_registry.intake.trial import TrialRefusedError, model_try, tool_chain
from models_registry.models import PublishedRelease, Release, ReleaseState
from models_registry.runtime.errors import RunnerBusyError, SandboxUnavailable
from models_registry.storage import get_store
from models_registry.storage.cache import release_evict, release_fetch

logger = logging.getLogger(__name__)

# A worker that died holds its claim this long; longer than any check takes.
CLAIM = timedelta(minutes=10)
_RETRY_FIRST_S = 30
_RETRY_MOST_S = 6 * 3600
# What only waits for this machine is tried again sooner than what waits for files from elsewhere.
_RETRY_HERE_MOST_S = 600
# After so many crashes without another cause the model is what crashes.
_TRIAL_CRASHES = 3

# A release that breaks the rules of the format stays broken, however often it is fetched.
_MALFORMED = (UnixFsError, PathError, ReleaseTooLargeError)
_PASSING = (StoreUnavailableError, BlockMissingError, BlockCorruptError, StoreRootMismatchError)


def release_check(*, release_id: int) -> None:
    """Check a release and say what became of it. Running it again does no harm.

    1. Claim the release: a conditional UPDATE that must change one row, so that two workers never check one.
    2. Find its directory: staged by the upload, or fetched from the store, every block verified.
    3. Read and check manifest and files; load nothing (`intake.checks`).
    4. Run the task's example in the sandbox.
    5. Keep the directory in the store, and compare the root CID.
    6. Record `ready` or `refused`, link it to what the chain announced, drop the staged directory.
    Where this machine cannot do a step now (no sandbox, busy runners, no store, files not found) the release stays
    `checking` with a notice that says why, and is tried again later, however often. Only a model that crashed in
    several trials is refused for it. No release is listed without its trial.
    """
    release = _claim(release_id)
    if release is None:
        return
    try:
        _check(release)
    except SandboxUnavailable as error:
        _postpone(release, f"This site cannot try models at the moment: {error.message}", most_s=_RETRY_HERE_MOST_S)
    except RunnerBusyError:
        _postpone(
            release, "The workers are busy; the model is tried as soon as one is free.", most_s=_RETRY_HERE_MOST_S
        )
    except _PASSING as error:
        _postpone(release, error.message)
    except _MALFORMED as error:
        _refuse(release, [_malformed(error)])
        release_evict(release.root, directory=Path(settings.ARTIFACT_CACHE_DIR))
    except Exception:
        _postpone(release, "The check ended unexpectedly and will be repeated; the operator's log has the reason.")
        raise


def release_link(release: Release) -> None:
    """Say for every announcement of this release on chain whether it may be listed."""
    names_publisher = Q(publisher__iexact=release.publisher) if release.publisher else Q(pk__in=[])
    announced = PublishedRelease.objects.filter(digest=release.digest)
    announced.update(release=release, is_listable=False)
    if release.state == ReleaseState.READY:
        announced.filter(names_publisher).update(is_listable=True)


def release_lists(release: Release, publisher: str) -> bool:
    """Whether an announcement by `publisher` may be listed: the release is ready and names that publisher."""
    is_named = bool(release.publisher) and release.publisher.lower() == publisher.lower()
    return release.state == ReleaseState.READY and is_named


def _claim(release_id: int) -> Release | None:
    now = timezone.now()
    due = Release.objects.filter(pk=release_id, state=ReleaseState.CHECKING)
    due = due.filter(Q(check_after=None) | Q(check_after__lte=now))
    if not due.update(check_after=now + CLAIM, attempts=F("attempts") + 1, notice="Is being checked."):
        return None
    return Release.objects.get(pk=release_id)


def _check(release: Release) -> None:
    directory, is_staged = _directory(release)
    refusals = release_refusals(directory)
    if refusals:
        _refuse(release, refusals)
        return
    manifest = manifest_read(directory)
    try:
        fingerprint = model_try(directory, manifest, release.digest)
    except TrialRefusedError as error:
        if error.is_certain or _crashes_counted(release) >= _TRIAL_CRASHES:
            _refuse(release, [error.refusal])
        else:
            _postpone(release, f"The trial failed and will be repeated: {error}.")
        return
    if is_staged:
        _keep(release, directory)
    _accept(release, manifest, directory, dict(fingerprint))


def _crashes_counted(release: Release) -> int:
    """Count one more trial that ended in a crash; how many there were."""
    Release.objects.filter(pk=release.pk).update(crashes=F("crashes") + 1)
    release.refresh_from_db(fields=["crashes"])
    return release.crashes


def _directory(release: Release) -> tuple[Path, bool]:
    """Where the files lie, and whether they are staged rather than fetched."""
    staged = staging.staging_path(Path(settings.UPLOAD_DIR), release.root)
    if staged.is_dir():
        return staged, True
    return release_fetch(release.root), False


def _keep(release: Release, directory: Path) -> None:
    root = get_store().put(directory)
    if root != release.root:
        raise StoreRootMismatchError("The staged files changed while they were checked. Submit the upload again.")


def _accept(release: Release, manifest: Manifest, directory: Path, fingerprint: dict[str, object]) -> None:
    release.publisher, release.name, release.summary = manifest.publisher, manifest.name, manifest.summary
    release.task, release.licence = manifest.task, manifest.licence
    release.manifest, release.total_bytes = manifest.to_json(), manifest.total_bytes
    card = directory / "README.md"
    release.card = card.read_text(encoding="utf-8") if card.is_file() else ""
    release.fingerprint = fingerprint
    _conclude(release, ReleaseState.READY, [])


def _refuse(release: Release, refusals: list[Refusal]) -> None:
    _conclude(release, ReleaseState.REFUSED, refusals)
    # Nothing of a refused release is kept but the reasons.
    release_evict(release.root, directory=Path(settings.ARTIFACT_CACHE_DIR))


def _conclude(release: Release, state: ReleaseState, refusals: list[Refusal]) -> None:
    values = {
        name: getattr(release, name)
        for name in (
            *("publisher", "name", "summary", "task", "licence"),
            *("manifest", "total_bytes", "card", "fingerprint"),
        )
    }
    values |= {"state": state, "refusals": refusals, "notice": "", "check_after": None, "checked_at": timezone.now()}
    values["checked_with"] = tool_chain()
    with transaction.atomic():
        if not Release.objects.filter(pk=release.pk, state=ReleaseState.CHECKING).update(**values):
            return
        release.refresh_from_db()
        release_link(release)
    staging.staging_remove(Path(settings.UPLOAD_DIR), release.root)
    logger.info("release %s is %s", release.digest, state)


def _postpone(release: Release, notice: str, *, most_s: int = _RETRY_MOST_S) -> None:
    # The exponent is bounded before it is used: attempts grow for as long as the files cannot be found.
    wait_s = min(_RETRY_FIRST_S * 2 ** min(release.attempts - 1, 20), most_s)
    Release.objects.filter(pk=release.pk, state=ReleaseState.CHECKING).update(
        notice=notice[:500], check_after=timezone.now() + timedelta(seconds=wait_s)
    )
    logger.warning("release %s is checked again in %d s: %s", release.digest, wait_s, notice)


def _malformed(error: WeighhouseError) -> Refusal:
    return refusal("", error.code, error.message, "Build the release with this site's upload, or with `weighhouse`.")
