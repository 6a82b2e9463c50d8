"""What the tables of `ModelRegistry` must hold: log by log, and all together, as the contract's views say.

Nothing here is used by the handlers or the pages, and nothing of theirs is used here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chain.audit.block import AuditBlock, Chunk
from chain.audit.decode import AuditedLog
from chain.audit.registry import RowAudit, register, rows_register
from chain.audit.report import Difference
from chain.bindings import model_registry
from models_registry.models import (
    DerivativeShare,
    LineageKind,
    LineageShare,
    Model,
    ModelOwner,
    PublishedRelease,
    Release,
    ReleaseState,
)

REGISTRY = "ModelRegistry"
_LINKED = frozenset({"publisher", "release", "is_listable"})
_STATE = ("owner", "latest_digest", "numbers", "derivative_bps", "ancestors")
_TABLES = dict(
    zip(_STATE, (ModelOwner, PublishedRelease, PublishedRelease, DerivativeShare, LineageShare), strict=True)
)
Rows = Sequence[Mapping[str, Any]]


def _model(log: AuditedLog) -> Rows:
    return [{"model_id": log.args["modelId"], "publisher": log.args["publisher"]}]


def _owner(log: AuditedLog) -> Rows:
    return [{"model_id": log.args["tokenId"], "owner": log.args["to"]}]


def _release(log: AuditedLog) -> Rows:
    return [{"model": log.args["modelId"], "number": log.args["number"], "digest": log.args["digest"]}]


def _lineage(log: AuditedLog) -> Rows:
    return [
        {
            "model_id": log.args["modelId"],
            "related_id": share["modelId"],
            "kind": kind,
            "place": place,
            "bps": share["bps"],
        }
        for kind, shares in (("parent", log.args["parents"]), ("ancestor", log.args["ancestors"]))
        for place, share in enumerate(shares)
    ]


def _derivative(log: AuditedLog) -> Rows:
    return [{"model_id": log.args["modelId"], "bps": log.args["bps"]}]


rows_register(
    RowAudit(Model, {(REGISTRY, "ModelPublished"): _model}, key=("model_id",)),
    RowAudit(ModelOwner, {(REGISTRY, "Transfer"): _owner}),
    RowAudit(
        PublishedRelease,
        {(REGISTRY, "ReleasePublished"): _release},
        paths={"model": "model__model_id"},
        elsewhere=_LINKED,
    ),
    RowAudit(LineageShare, {(REGISTRY, "LineageStored"): _lineage}, key=("kind", "place")),
    RowAudit(DerivativeShare, {(REGISTRY, "DerivativeBpsSet"): _derivative}),
)


@register("models")
def models_audit(block: AuditBlock) -> Iterator[Difference]:
    """Every model that was published, and no other: its owner, releases and lineage, what it asks of children."""
    (count,) = block.ask_all([model_registry(block.book).model_count()])
    for chunk in block.chunks(range(1, count + 1)):
        yield from _models(block, chunk)


def _models(block: AuditBlock, chunk: Chunk) -> Iterator[Difference]:
    within = {"model_id__range": (chunk.low, chunk.high)}
    rows = {row.model_id: row for row in block.rows_of(Model).filter(**within)}
    owners: dict[int, list[ModelOwner]] = defaultdict(list)
    for owner in block.rows_of(ModelOwner).filter(**within):
        owners[owner.model_id].append(owner)
    releases: dict[int, list[PublishedRelease]] = defaultdict(list)
    of_model = {"model__model_id__range": (chunk.low, chunk.high)}
    for release in block.rows_of(PublishedRelease).filter(**of_model).select_related("release", "model"):
        releases[release.model.model_id].append(release)
    shares = {row.model_id: row.bps for row in block.rows_of(DerivativeShare).filter(**within)}
    ancestors = _ancestors(block, within)
    for model_id, told in _told(block, chunk).items():
        row, subject = rows.pop(model_id, None), f"model {model_id}"
        if row is None:
            yield block.missing(Model, subject, f"a model of {told['owner']}")
            continue
        mine = releases[model_id]
        database = {
            "owner": owners[model_id][-1].owner if owners[model_id] else None,
            "latest_digest": mine[-1].digest if mine else None,
            "numbers": [release.number for release in mine],
            "derivative_bps": shares.get(model_id, 0),
            "ancestors": ancestors.get(model_id, []),
        }
        yield from block.compare(_TABLES, subject, database=database, chain=told)
        yield from _links(block, row, mine, owners[model_id])
    for model_id in rows.keys() | owners.keys() - set(chunk.ids):
        yield block.surplus(Model if model_id in rows else ModelOwner, f"model {model_id}", "no such model")


def _told(block: AuditBlock, chunk: Chunk) -> dict[int, dict[str, Any]]:
    """What the registry says of each model."""
    registry = model_registry(block.book)
    owners = block.ask_all([registry.owner_of(model_id) for model_id in chunk.ids])
    digests = block.ask_all([registry.latest_digest(model_id) for model_id in chunk.ids])
    counts = block.ask_all([registry.release_count(model_id) for model_id in chunk.ids])
    bps = block.ask_all([registry.derivative_bps(model_id) for model_id in chunk.ids])
    lineages = block.ask_all([registry.ancestors(model_id) for model_id in chunk.ids])
    numbers = [list(range(1, count + 1)) for count in counts]
    ancestors = [[(share.model_id, share.bps) for share in lineage] for lineage in lineages]
    answers = zip(chunk.ids, owners, digests, numbers, bps, ancestors, strict=True)
    return {model_id: dict(zip(_STATE, told, strict=True)) for model_id, *told in answers}


def _ancestors(block: AuditBlock, within: dict[str, Any]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    rows = block.rows_of(LineageShare).filter(kind=LineageKind.ANCESTOR, **within)
    for row in rows.order_by("event_id", "place"):
        found[row.model_id].append((row.related_id, row.bps))
    return found


def _links(
    block: AuditBlock, model: Model, releases: list[PublishedRelease], owners: list[ModelOwner]
) -> Iterator[Difference]:
    """Who owned the model when each release was published, and whether that may be listed.

    Whether a release may be listed comes from its files, not from the chain: it is compared with the checked release.
    """
    known = dict(Release.objects.filter(digest__in={row.digest for row in releases}).values_list("digest", "pk"))
    for row in releases:
        before = [owner.owner for owner in owners if owner.event_id < row.event_id]
        checked = row.release
        may = checked is not None and checked.state == ReleaseState.READY
        expected = {
            # The first release comes before the transfer that mints the token.
            "publisher": before[-1] if before else model.publisher,
            "release": known.get(row.digest),
            "is_listable": may and checked is not None and checked.publisher.lower() == row.publisher.lower(),
        }
        database = {"publisher": row.publisher, "release": row.release_id, "is_listable": row.is_listable}
        subject = f"release {row.number} of model {model.model_id}"
        yield from block.compare(PublishedRelease, subject, database=database, chain=expected)
