"""What the chain announced, as rows per event: the newest row is the present, so a re-org undoes itself."""

from chain.handlers import DecodedEvent
from chain.models import ChainEvent
from models_registry.models import Model, ModelOwner, PublishedRelease, Release, ReleaseState
from models_registry.services.checking import release_link
from models_registry.services.fetching import fetch_begin


def model_published(event: DecodedEvent, row: ChainEvent) -> None:
    """`ModelPublished(modelId, publisher, digest)`: a model exists."""
    Model.objects.update_or_create(
        model_id=event.args["modelId"], defaults={"publisher": event.args["publisher"], "event": row}
    )


def model_transferred(event: DecodedEvent, row: ChainEvent) -> None:
    """ERC-721 `Transfer(from, to, tokenId)`: a model's token has a new owner; minting is the first."""
    ModelOwner.objects.update_or_create(
        event=row, defaults={"model_id": event.args["tokenId"], "owner": event.args["to"]}
    )


def release_published(event: DecodedEvent, row: ChainEvent) -> None:
    """`ReleasePublished(modelId, number, digest)`: a release of a model is on chain.

    Only the owner of a model can publish a release of it, so the owner at this point of the chain is its publisher. A
    digest that this site does not know is fetched and checked before it is listed.
    """
    model = Model.objects.get(model_id=event.args["modelId"])
    owner = ModelOwner.objects.filter(model_id=model.model_id, event__lt=row.pk).order_by("-event").first()
    announced, _ = PublishedRelease.objects.update_or_create(
        event=row,
        defaults={
            "model": model,
            "number": event.args["number"],
            "digest": event.args["digest"],
            # The first release comes before the transfer that mints the token.
            "publisher": owner.owner if owner else model.publisher,
        },
    )
    # The lock orders this against a check that ends at the same moment: one of the two sees the other's row.
    release, is_new = Release.objects.select_for_update().get_or_create(
        digest=event.args["digest"],
        defaults={"state": ReleaseState.CHECKING, "notice": "Waits to be fetched from IPFS and checked."},
    )
    release_link(release)
    if is_new:
        fetch_begin(release, publisher=announced.publisher)
