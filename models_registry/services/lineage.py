"""What a model was made from, as rows per event."""

from chain.handlers import DecodedEvent
from chain.models import ChainEvent
from models_registry.models import DerivativeShare, LineageKind, LineageShare


def lineage_stored(event: DecodedEvent, row: ChainEvent) -> None:
    """`LineageStored(modelId, parents, ancestors)`: emitted once, when a model with parents is published."""
    for kind, shares in ((LineageKind.PARENT, "parents"), (LineageKind.ANCESTOR, "ancestors")):
        for place, share in enumerate(event.args[shares]):
            LineageShare.objects.get_or_create(
                event=row,
                kind=kind,
                place=place,
                defaults={
                    "model_id": event.args["modelId"],
                    "related_id": share["modelId"],
                    "bps": share["bps"],
                },
            )


def derivative_bps_set(event: DecodedEvent, row: ChainEvent) -> None:
    """`DerivativeBpsSet(modelId, bps)`: what children to come owe the model."""
    DerivativeShare.objects.get_or_create(
        event=row, defaults={"model_id": event.args["modelId"], "bps": event.args["bps"]}
    )
