"""What the chain announced, as rows per event: the newest row is the present, so a re-org undoes itself."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from django.db.models import Exists, Max, OuterRef, Q, Subquery

from chain.bulk import ROWS_PER_STATEMENT, rows_insert
from chain.handlers import IndexedEvent, is_rebuilding
from models_registry.models import Model, ModelOwner, PublishedRelease, Release, ReleaseState
from models_registry.services.checking import release_lists
from models_registry.services.fetching import fetch_begin

T = TypeVar("T")


def models_published(events: Sequence[IndexedEvent]) -> None:
    """`ModelPublished(modelId, publisher, digest)`: a model exists."""
    rows_insert(
        (
            Model(event_id=item.row_id, model_id=item.args["modelId"], publisher=item.args["publisher"])
            for item in events
        ),
        unique=("model_id",),
    )


def models_transferred(events: Sequence[IndexedEvent]) -> None:
    """ERC-721 `Transfer(from, to, tokenId)`: a model's token has a new owner; minting is the first."""
    rows_insert(
        ModelOwner(event_id=item.row_id, model_id=item.args["tokenId"], owner=item.args["to"]) for item in events
    )


def releases_published(events: Sequence[IndexedEvent]) -> None:
    """`ReleasePublished(modelId, number, digest)`: a release of a model is on chain.

    Only the owner of a model can publish a release of it, so the owner at this point of the chain is its publisher. A
    digest that this site does not know is fetched and checked before it is listed, for whoever announced it first;
    another publisher's announcement begins again with one that was not found.
    """
    model_ids = {item.args["modelId"] for item in events}
    models = {model.model_id: model for part in _parts(model_ids) for model in Model.objects.filter(model_id__in=part)}
    owners = _Owners(model_ids, events)
    releases, is_new = _releases_of({item.args["digest"] for item in events})
    rows = []
    for item in events:
        model, release = models[item.args["modelId"]], releases[item.args["digest"]]
        # The first release comes before the transfer that mints the token.
        publisher = owners.before(item) or model.publisher
        rows.append(
            PublishedRelease(
                event_id=item.row_id,
                model=model,
                number=item.args["number"],
                digest=release.digest,
                publisher=publisher,
                release=release,
                is_listable=release_lists(release, publisher),
            )
        )
    # A rebuild meets every announcement again, and so does a handler that runs again.
    is_repeated = is_rebuilding() or _is_stored(events)
    for row in rows:
        if row.digest in is_new or not is_repeated:
            fetch_begin(releases[row.digest], publisher=row.publisher)
    rows_insert(rows)


def announcements_link() -> None:
    """Tie every announcement to the release that this site has of its digest, and say whether it may be listed."""
    release = Release.objects.filter(digest=OuterRef("digest"))
    named = release.filter(state=ReleaseState.READY, publisher__iexact=OuterRef("publisher")).exclude(publisher="")
    PublishedRelease.objects.update(release=Subquery(release.values("pk")[:1]), is_listable=Exists(named))


def _is_stored(events: Sequence[IndexedEvent]) -> bool:
    return PublishedRelease.objects.filter(event__gte=events[0].row_id, event__lte=events[-1].row_id).exists()


class _Owners:
    """Who owned a model at an event: the newest transfer before it."""

    def __init__(self, model_ids: Iterable[int], events: Sequence[IndexedEvent]) -> None:
        first, last = events[0].row_id, events[-1].row_id
        self._rows: dict[int, list[ModelOwner]] = defaultdict(list)
        for part in _parts(model_ids):
            of_these = ModelOwner.objects.filter(model_id__in=part)
            before = of_these.filter(event__lt=first).values("model_id").annotate(newest=Max("event")).values("newest")
            wanted = Q(event__in=before) | Q(event__gte=first, event__lte=last)
            for owner in of_these.filter(wanted).order_by("event"):
                self._rows[owner.model_id].append(owner)

    def before(self, item: IndexedEvent) -> str:
        """The owner's address, empty where no transfer came before."""
        rows = self._rows[item.args["modelId"]]
        place = bisect_left(rows, item.row_id, key=lambda row: row.event_id)
        return rows[place - 1].owner if place else ""


def _releases_of(digests: set[str]) -> tuple[dict[str, Release], set[str]]:
    """The releases of these digests, locked, and the digests that this site did not know.

    The lock orders this against a check that ends at the same moment: one of the two sees the other's row.
    """
    known = {release.digest for part in _parts(digests) for release in Release.objects.filter(digest__in=part)}
    fresh = digests - known
    notice = "Waits to be fetched from IPFS and checked."
    Release.objects.bulk_create(
        [Release(digest=digest, state=ReleaseState.CHECKING, notice=notice) for digest in sorted(fresh)],
        batch_size=ROWS_PER_STATEMENT,
        # An upload may have made one meanwhile.
        ignore_conflicts=True,
    )
    locked = Release.objects.select_for_update()
    found = [release for part in _parts(digests) for release in locked.filter(digest__in=part)]
    is_new = {release.digest for release in found if release.digest in fresh and release.upload_id is None}
    return {release.digest: release for release in found}, is_new


def _parts(values: Iterable[T]) -> Iterable[list[T]]:
    """The values in lists that fit into one statement."""
    every = list(values)
    return (every[start : start + ROWS_PER_STATEMENT] for start in range(0, len(every), ROWS_PER_STATEMENT))
