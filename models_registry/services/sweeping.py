"""Tidying up what dead processes, lost messages and forgetful publishers left."""

import shutil
import time
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from weighhouse.core.cid import Cid, CidError, digest_hex

from models_registry.intake.receive import PART_PREFIX
from models_registry.models import Release, ReleaseState, Upload
from models_registry.services.fetching import fetch_enqueue, fetches_give_up, is_fetch
from models_registry.services.releases import release_check_enqueue
from models_registry.services.uploads import upload_delete

_BATCH = 50
# A message that was not claimed for so long was lost.
_LOST_AFTER = timedelta(minutes=1)
_STALE_S = 24 * 3600


def releases_sweep() -> int:
    """Enqueue every check that is due: postponed, of a dead worker, or whose message was lost. How many."""
    fetches_give_up()
    now = timezone.now()
    due = Release.objects.filter(state=ReleaseState.CHECKING).filter(
        Q(check_after__lte=now) | Q(check_after=None, created_at__lte=now - _LOST_AFTER)
    )
    # A flood of announcements does not keep uploads out of the batch.
    uploaded, announced = due.exclude(publisher=""), due.filter(publisher="")
    releases = [release for rows in (uploaded, announced) for release in rows.order_by("check_after", "pk")[:_BATCH]]
    for release in releases:
        (fetch_enqueue if is_fetch(release) else release_check_enqueue)(release)
    return len(releases)


def uploads_sweep() -> int:
    """Delete uploads that nobody touched for UPLOAD_RETENTION_S, and leftovers on disk. How many uploads."""
    limit = timezone.now() - timedelta(seconds=settings.UPLOAD_RETENTION_S)
    stale = list(Upload.objects.filter(updated_at__lt=limit)[:_BATCH])
    for upload in stale:
        upload_delete(upload=upload)
    root = Path(settings.UPLOAD_DIR)
    if root.is_dir():
        for directory in root.iterdir():
            if directory.name == "staging":
                _staging_sweep(directory)
            else:
                _parts_sweep(directory)
    return len(stale)


def _parts_sweep(directory: Path) -> None:
    for part in directory.glob(f"{PART_PREFIX}*"):
        if _is_old(part):
            part.unlink(missing_ok=True)


def _staging_sweep(staging: Path) -> None:
    for directory in staging.iterdir():
        if _is_old(directory) and not _is_being_checked(directory.name):
            shutil.rmtree(directory, ignore_errors=True)


def _is_being_checked(name: str) -> bool:
    try:
        digest = digest_hex(Cid.parse(name))
    except CidError:
        return False
    return Release.objects.filter(digest=digest, state=ReleaseState.CHECKING).exists()


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - _STALE_S
    except FileNotFoundError:
        return False
