"""Releases that only the chain named.

Anybody may announce any digest for little gas, so they have a queue of their own, few of one publisher wait at once,
and a fetch that finds nothing ends. Another publisher's announcement begins again, and so do `manage.py fetch_releases`
and an upload of the release.
"""

import logging

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from models_registry.errors import BlockMissingError, refusal
from models_registry.models import Release, ReleaseState

logger = logging.getLogger(__name__)

FETCH_TASK = "models_registry.tasks.release_fetch"
PENDING_MOST = 20
# With the waits between them, most of a day.
ATTEMPTS_MOST = 12
_REMEDY = "Upload the release here, or ask the operator to fetch it once an IPFS node provides it."
_BATCH = 50
_NOT_FOUND = Q(state=ReleaseState.REFUSED, refusals__0__code=BlockMissingError.code)


def is_fetch(release: Release) -> bool:
    """Whether nothing of the release is known here but its digest."""
    return release.state == ReleaseState.CHECKING and not release.publisher


def fetch_enqueue(release: Release) -> None:
    """Ask a worker to fetch and check the release, once the current transaction is committed."""
    release_id = release.pk
    transaction.on_commit(lambda: _send(release_id))


def fetch_begin(release: Release, *, publisher: str) -> None:
    """Fetch a release, its row locked, that `publisher` announced, unless too many fetches for that publisher wait.

    1. Leave alone what is known by more than its digest, and what was fetched, or refused, for this publisher last.
    2. Where the limit is reached, give up a release that was fetched for nobody yet. Any other stays as it is.
    3. Otherwise fetch it for this publisher with all attempts, also where it was given up or waits for somebody else.

    So a stranger who announces a digest first does not spend its fetch, and whoever begins again does so in a limit of
    their own, not in that of who announced it before. Addresses that take turns at a digest that nobody has can keep it
    waiting. Each announcement buys them at most `ATTEMPTS_MOST` attempts, as one of a new digest would.
    """
    if release.publisher or release.fetched_for == publisher:
        return
    waiting = Release.objects.filter(state=ReleaseState.CHECKING, publisher="", fetched_for=publisher)
    if waiting.count() >= PENDING_MOST:
        if not release.fetched_for:
            release.fetched_for = publisher
            _give_up(release, f"{PENDING_MOST} other releases of its publisher that wait to be fetched")
        return
    unfound = Release.objects.filter(_NOT_FOUND | Q(state=ReleaseState.CHECKING), pk=release.pk)
    if unfound.update(fetched_for=publisher, attempts=0):
        release.fetched_for = publisher
        if not fetches_retry(digest=release.digest):
            fetch_enqueue(release)


def fetches_give_up() -> int:
    """End the fetches that were tried often enough. How many."""
    tried = Release.objects.filter(
        state=ReleaseState.CHECKING, publisher="", attempts__gte=ATTEMPTS_MOST, check_after__lte=timezone.now()
    )
    return sum(_give_up(release, release.notice or "no files") for release in tried[:_BATCH])


def fetches_retry(*, digest: str = "") -> int:
    """Begin again with the given release that was not found, or with all of them. How many."""
    ended = Release.objects.filter(_NOT_FOUND, publisher="")
    releases = list(ended.filter(digest=digest) if digest else ended)
    for release in releases:
        Release.objects.filter(pk=release.pk, state=ReleaseState.REFUSED).update(
            state=ReleaseState.CHECKING, refusals=[], notice="Waits to be fetched again.", attempts=0, check_after=None
        )
        fetch_enqueue(release)
    return len(releases)


def _give_up(release: Release, found: str) -> bool:
    reason = refusal("", BlockMissingError.code, found, _REMEDY)
    # Whoever took the fetch over meanwhile has attempts left.
    as_read = Release.objects.filter(pk=release.pk, state=ReleaseState.CHECKING, attempts=release.attempts)
    changed = as_read.update(
        state=ReleaseState.REFUSED,
        refusals=[reason],
        notice="",
        check_after=None,
        checked_at=timezone.now(),
        fetched_for=release.fetched_for,
    )
    if changed:
        logger.warning("release %s is not fetched: %s", release.digest, found)
    return bool(changed)


def _send(release_id: int) -> None:
    try:
        current_app.send_task(FETCH_TASK, args=[release_id])
    except BrokerError as error:
        logger.warning("release %s waits for the sweep, the broker does not answer: %s", release_id, error)
