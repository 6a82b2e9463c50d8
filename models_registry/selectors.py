"""Reading the registry. Nothing here writes or calls out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from chain.prepared import Prepared
from chain.removals import removal_of_model
from models_registry.errors import (
    CursorInvalidError,
    ModelNotFoundError,
    ModelReorgedError,
    ReleaseNotFoundError,
    UploadNotFoundError,
)
from models_registry.models import (
    DerivativeShare,
    LineageKind,
    LineageShare,
    Model,
    ModelOwner,
    PublishedRelease,
    Release,
    Upload,
)

PAGE_LIMIT = 100
CHILDREN_SHOWN = 20
# Up to a MiB each, written by the publisher: a list of releases never loads them.
_LARGE = ("card", "manifest", "fingerprint")


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model as pages and the API show it.

    `release` is the newest one that may be listed, None while the model is unchecked; then `name` is a placeholder and
    `notice` says why. `number` is the listed release's number, `latest_number` the newest on chain, which may still be
    unchecked. `publisher` published the model first; `owner` owns its token, and its income, now.
    """

    model_id: int
    publisher: str
    owner: str
    name: str
    summary: str
    task: str
    licence: str
    is_listed: bool
    notice: str
    release: Release | None
    number: int
    latest_number: int
    published_at: datetime

    @property
    def digest(self) -> str:
        return self.release.digest if self.release else ""

    @property
    def root_cid(self) -> str:
        return self.release.root_cid if self.release else ""

    @property
    def card(self) -> str:
        """The model card, Markdown as the publisher wrote it: untrusted text. Loaded when it is asked for."""
        return self.release.card if self.release else ""


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Up to `limit` models, newest first. `next_cursor` goes into the next call's `after`; empty at the end."""

    models: list[ModelSummary]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class AncestorShare:
    """A model and what it gets of another one's income, in basis points of what fee and service leave."""

    model_id: int
    bps: int


@dataclass(frozen=True, slots=True)
class RelatedModel:
    """A parent, an ancestor or a child, with the share that flows between the two."""

    model_id: int
    name: str
    bps: int

    @property
    def share_text(self) -> str:
        return f"{self.bps / 100:g} %"


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from, by the chain. Undeclared parents cannot be seen there.

    `ancestors` are paid by the model's income, in this order; `children` are the newest of `child_count` models that
    named it as a parent; `derivative_bps` is what a child that is published now owes it.
    """

    model_id: int
    parents: list[RelatedModel]
    ancestors: list[RelatedModel]
    children: list[RelatedModel]
    child_count: int
    derivative_bps: int


def model_list(
    *,
    query: str = "",
    task: str = "",
    owner: str = "",
    listed_only: bool = True,
    limit: int = 24,
    after: str = "",
) -> ModelPage:
    """Models, newest first. `query` searches name and summary of the listed release. Raises CursorInvalidError."""
    rows = _models_filtered(query=query.strip(), task=task, listed_only=listed_only)
    if owner:
        rows = rows.filter(model_id__in=_owned_ids(owner))
    if after:
        rows = rows.filter(model_id__lt=_cursor_parse(after))
    limit = max(1, min(limit, PAGE_LIMIT))
    found = list(rows.select_related("event").order_by("-model_id")[: limit + 1])
    page = found[:limit]
    return ModelPage(_summaries(page), str(page[-1].model_id) if len(found) > limit else "")


def model_get(model_id: int) -> ModelSummary:
    """One model, listed or not. Raises ModelNotFoundError."""
    rows = list(_models_by_id([model_id]))
    if not rows:
        raise _model_missing(model_id)
    return _summaries(rows)[0]


def model_get_many(model_ids: Iterable[int]) -> dict[int, ModelSummary]:
    """The models that exist among `model_ids`, by id, in three queries."""
    return {summary.model_id: summary for summary in _summaries(list(_models_by_id(list(model_ids))))}


def model_owner(model_id: int) -> str:
    """Who owns the model's token by the indexed chain. Raises ModelNotFoundError."""
    owner = _newest_owner.first(model_id=model_id)
    if owner is None:
        raise _model_missing(model_id)
    return owner


@Prepared
def _newest_owner(model_id: Any) -> QuerySet[ModelOwner, str]:
    return ModelOwner.objects.filter(model_id=model_id).order_by("-event").values_list("owner", flat=True)[:1]


def model_owners(model_ids: Iterable[int]) -> dict[int, str]:
    """Who owns each model's token by the indexed chain; unknown models are left out."""
    newer = ModelOwner.objects.filter(model_id=OuterRef("model_id"), event__gt=OuterRef("event"))
    rows = ModelOwner.objects.filter(~Exists(newer), model_id__in=set(model_ids))
    return dict(rows.values_list("model_id", "owner"))


def model_ids_owned_by(address: str) -> list[int]:
    """The models whose token the address owns, ascending."""
    return sorted(_owned_ids(address))


def release_latest(model_id: int) -> Release:
    """The release that a caller who pins none runs: the newest that may be listed. Raises ReleaseNotFoundError."""
    row = _newest_listable.first(model_id=model_id)
    if row is None or row.release is None:
        if not _models_by_id([model_id]).exists() and removal_of_model(model_id) is not None:
            raise _model_missing(model_id)
        raise ReleaseNotFoundError(
            f"Model {model_id} has no checked release yet. Wait for the check to end, or look at the model's page.",
            model_id=str(model_id),
        )
    return row.release


def release_of_model(model_id: int, digest: str) -> Release:
    """A pinned release: one of the model's that may be listed. Raises ReleaseNotFoundError."""
    row = _listable_of_digest.first(model_id=model_id, digest=digest)
    if row is None or row.release is None:
        raise ReleaseNotFoundError(f"{digest[:80]} is not a checked release of model {model_id}.", digest=digest[:80])
    return row.release


@Prepared
def _newest_listable(model_id: Any) -> QuerySet[PublishedRelease]:
    return _to_run().filter(model__model_id=model_id).order_by("-number")[:1]


@Prepared
def _listable_of_digest(model_id: Any, digest: Any) -> QuerySet[PublishedRelease]:
    return _to_run().filter(model__model_id=model_id, digest=digest)[:1]


def _to_run() -> QuerySet[PublishedRelease]:
    # Whoever runs a release needs its manifest and neither its card nor how it was checked.
    rows = PublishedRelease.objects.filter(is_listable=True).select_related("release")
    return rows.defer("release__card", "release__fingerprint")


def release_get(reference: str | int) -> Release:
    """A release by its row id or by its digest, whatever its state. Raises ReleaseNotFoundError."""
    text = str(reference)
    rows = Release.objects.select_related("upload").defer(*_LARGE)
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        row = rows.filter(pk=int(text)).first()
    else:
        row = rows.filter(digest=text).first()
    if row is None:
        raise ReleaseNotFoundError(f"There is no release {text[:80]!r} here.", release=text[:80])
    return row


def release_list_for_model(model_id: int, *, limit: int = PAGE_LIMIT) -> list[PublishedRelease]:
    """The newest releases that the chain announced for the model, with `release` where it is known here.

    An owner may announce one digest any number of times, so nobody gets them all at once.
    """
    rows = PublishedRelease.objects.filter(model__model_id=model_id)
    return list(_without_large(rows).order_by("-number")[:limit])


def release_count_for_model(model_id: int) -> int:
    """How many releases the chain announced for the model."""
    return PublishedRelease.objects.filter(model__model_id=model_id).count()


def release_is_public(release: Release) -> bool:
    """Whether anyone may see the release: it is published and may be listed."""
    return PublishedRelease.objects.filter(release=release, is_listable=True).exists()


def upload_list(publisher: str) -> list[Upload]:
    """The publisher's uploads, newest first, with their files."""
    return list(
        Upload.objects.filter(publisher=publisher).prefetch_related("files").order_by("-created_at")[:PAGE_LIMIT]
    )


def upload_get(*, publisher: str, upload_id: UUID | str) -> Upload:
    """An upload of this publisher. Raises UploadNotFoundError, for others' uploads too."""
    try:
        return Upload.objects.get(pk=upload_id, publisher=publisher)
    except (Upload.DoesNotExist, ValidationError):
        raise UploadNotFoundError(
            f"You have no upload {str(upload_id)[:40]}. List yours with GET /api/v1/uploads."
        ) from None


def release_list_for_publisher(publisher: str) -> list[Release]:
    """The releases that were uploaded here by the address, newest first."""
    rows = Release.objects.filter(publisher=publisher).defer(*_LARGE)
    return list(rows.order_by("-created_at")[:PAGE_LIMIT])


def lineage_get(model_id: int, *, children: int = CHILDREN_SHOWN) -> Lineage:
    """What the model was made from, whom its income pays, and what was made from it. Raises ModelNotFoundError."""
    model_owner(model_id)
    declared: dict[str, list[LineageShare]] = {kind: [] for kind in LineageKind}
    for row in LineageShare.objects.filter(model_id=model_id).order_by("event", "place"):
        declared[row.kind].append(row)
    made = LineageShare.objects.filter(related_id=model_id, kind=LineageKind.PARENT).order_by("-event")
    newest, count = list(made[:children]), made.count()
    names = model_get_many(
        [row.related_id for rows in declared.values() for row in rows] + [row.model_id for row in newest]
    )
    asked = DerivativeShare.objects.filter(model_id=model_id).order_by("-event").first()

    def related(other_id: int, bps: int) -> RelatedModel:
        return RelatedModel(other_id, names[other_id].name if other_id in names else f"Model {other_id}", bps)

    return Lineage(
        model_id=model_id,
        parents=[related(row.related_id, row.bps) for row in declared[LineageKind.PARENT]],
        ancestors=[related(row.related_id, row.bps) for row in declared[LineageKind.ANCESTOR]],
        children=[related(row.model_id, row.bps) for row in newest],
        child_count=count,
        derivative_bps=asked.bps if asked else 0,
    )


def ancestors_of(model_ids: Iterable[int]) -> dict[int, list[AncestorShare]]:
    """Whom the income of each model pays, in the order in which shares are taken. Models without are left out."""
    found: dict[int, list[AncestorShare]] = {}
    rows = LineageShare.objects.filter(model_id__in=set(model_ids), kind=LineageKind.ANCESTOR)
    for row in rows.order_by("event", "place"):
        found.setdefault(row.model_id, []).append(AncestorShare(row.related_id, row.bps))
    return found


def task_counts() -> dict[str, int]:
    """How many listed models each task has."""
    newest = _listable().filter(~Exists(_newer(_listable())))
    counts: dict[str, int] = {}
    for task in newest.values_list("release__task", flat=True):
        counts[task] = counts.get(task, 0) + 1
    return counts


def _listable() -> QuerySet[PublishedRelease]:
    return PublishedRelease.objects.filter(is_listable=True).select_related("release", "event")


def _newer(rows: QuerySet[PublishedRelease]) -> QuerySet[PublishedRelease]:
    return rows.filter(model=OuterRef("model"), number__gt=OuterRef("number"))


def _models_filtered(*, query: str, task: str, listed_only: bool) -> QuerySet[Model]:
    rows = Model.objects.all()
    if not (query or task or listed_only):
        return rows
    # Only the release that a model shows may match, not an older one.
    shown = _listable().filter(~Exists(_newer(_listable())))
    if task:
        shown = shown.filter(release__task=task)
    if query:
        shown = shown.filter(Q(release__name__icontains=query) | Q(release__summary__icontains=query))
    return rows.filter(Exists(shown.filter(model=OuterRef("pk"))))


def _models_by_id(model_ids: list[int]) -> QuerySet[Model]:
    return Model.objects.filter(model_id__in=model_ids).select_related("event")


def _model_missing(model_id: int) -> ModelNotFoundError:
    """There is no such model, or there was one until a re-org."""
    removal = removal_of_model(model_id)
    if removal is not None:
        return ModelReorgedError(removal.text("publication"), model_id=str(model_id), **removal.data)
    return ModelNotFoundError(f"There is no model {model_id} on this chain.", model_id=str(model_id))


def _owned_ids(address: str) -> list[int]:
    # The rows that ever named the address, minus those that a newer transfer overtook.
    newer = ModelOwner.objects.filter(model_id=OuterRef("model_id"), event__gt=OuterRef("event"))
    return list(ModelOwner.objects.filter(~Exists(newer), owner=address).values_list("model_id", flat=True))


def _cursor_parse(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 78) or int(cursor) >= 2**256:
        raise CursorInvalidError("The cursor is not one that this site handed out. Start again without it.")
    return int(cursor)


def _without_large(rows: QuerySet[PublishedRelease]) -> QuerySet[PublishedRelease]:
    return rows.select_related("release", "event").defer(*(f"release__{name}" for name in _LARGE))


def _summaries(models: list[Model]) -> list[ModelSummary]:
    """Two queries, which read two releases and one owner of each model, however many it had."""
    published = PublishedRelease.objects.filter(model=OuterRef("pk")).order_by("-number").values("pk")
    owners = ModelOwner.objects.filter(model_id=OuterRef("model_id")).order_by("-event").values("owner")
    newest = Model.objects.filter(pk__in=[model.pk for model in models]).values_list(
        "pk", Subquery(published.filter(is_listable=True)[:1]), Subquery(published[:1]), Subquery(owners[:1])
    )
    places = {pk: rest for pk, *rest in newest}
    wanted = {row for shown, latest, _ in places.values() for row in (shown, latest) if row is not None}
    rows = _without_large(PublishedRelease.objects.all()).in_bulk(wanted)
    found = [(model, *places.get(model.pk, (None, None, None))) for model in models]
    return [_summary(model, rows.get(shown), rows.get(latest), owner or "") for model, shown, latest, owner in found]


def _summary(model: Model, shown: PublishedRelease | None, newest: PublishedRelease | None, owner: str) -> ModelSummary:
    release = shown.release if shown else None
    fields: dict[str, Any] = {name: getattr(release, name, "") for name in ("summary", "task", "licence")}
    return ModelSummary(
        model_id=model.model_id,
        publisher=model.publisher,
        owner=owner or model.publisher,
        name=release.name if release else f"Model {model.model_id}",
        is_listed=release is not None,
        notice="" if release else _notice(newest),
        release=release,
        number=shown.number if shown else 0,
        latest_number=newest.number if newest else 0,
        published_at=shown.event.block_time if shown else model.event.block_time,
        **fields,
    )


def _notice(newest: PublishedRelease | None) -> str:
    if newest is None or newest.release is None:
        return "This release is on chain, and its files have not been fetched and checked yet."
    if newest.release.state == "refused":
        return "This release was checked and refused."
    if newest.release.state == "ready":
        return "The manifest of this release names another publisher, so it is not listed."
    return newest.release.notice or "This release is being checked."
