"""What a model was made from, as rows per event."""

from collections.abc import Iterator, Sequence

from chain.bulk import rows_insert
from chain.handlers import IndexedEvent
from models_registry.models import DerivativeShare, LineageKind, LineageShare


def lineages_stored(events: Sequence[IndexedEvent]) -> None:
    """`LineageStored(modelId, parents, ancestors)`: emitted once, when a model with parents is published."""
    rows_insert((row for item in events for row in _shares(item)), unique=("event", "kind", "place"))


def derivative_bps_set(events: Sequence[IndexedEvent]) -> None:
    """`DerivativeBpsSet(modelId, bps)`: what children to come owe the model."""
    rows_insert(
        DerivativeShare(event_id=item.row_id, model_id=item.args["modelId"], bps=item.args["bps"]) for item in events
    )


def _shares(item: IndexedEvent) -> Iterator[LineageShare]:
    for kind, shares in ((LineageKind.PARENT, "parents"), (LineageKind.ANCESTOR, "ancestors")):
        for place, share in enumerate(item.args[shares]):
            yield LineageShare(
                event_id=item.row_id,
                kind=kind,
                place=place,
                model_id=item.args["modelId"],
                related_id=share["modelId"],
                bps=share["bps"],
            )
