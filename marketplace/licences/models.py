"""Read models of `LicenceMarket`: one row per event, rebuilt from the chain by `reindex`.

Nothing here is ever updated. What can change on chain (the holder of a licence, whether a plan still sells) is the
newest row; when a re-org deletes events their rows cascade, and the earlier value is the newest again.
"""

from typing import ClassVar

from django.db import models

from chain.fields import Uint256Field
from chain.models import ChainEvent


class Right(models.IntegerChoices):
    """Bits of a plan's `flags`."""

    RUN = 1, "run on the site's workers"
    DOWNLOAD = 2, "download the files"
    TRANSFERABLE = 4, "pass on to somebody else"


class FromEvent(models.Model):
    """A row that one log of the chain made, and that goes with it."""

    event = models.OneToOneField(ChainEvent, on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True


class Plan(FromEvent):
    """Terms on which licences of a model are sold. `price` counts the token's smallest unit, `period` seconds."""

    plan_id = Uint256Field(unique=True)
    model_id = Uint256Field(db_index=True)
    plan_hash = models.CharField(max_length=66)
    # The zero address stands for the chain's own coin.
    token = models.CharField(max_length=42)
    price = Uint256Field()
    period = models.PositiveBigIntegerField()
    calls = models.PositiveBigIntegerField()
    supply = models.PositiveBigIntegerField()
    flags = models.PositiveSmallIntegerField()

    def __str__(self) -> str:
        return f"plan {self.number} of model {self.model_id}"

    @property
    def number(self) -> int:
        """The plan's place in its model's price list, from 1."""
        return self.plan_id & 0xFFFFFFFF

    @property
    def is_metered(self) -> bool:
        return self.calls > 0

    @property
    def rights(self) -> list[str]:
        """Names of the rights, such as `["RUN", "TRANSFERABLE"]`."""
        return [right.name for right in Right if self.flags & right]


class PlanRetirement(FromEvent):
    """The owner of the model took the plan off sale. Licences sold under it are untouched."""

    plan_id = Uint256Field(db_index=True)

    def __str__(self) -> str:
        return f"retirement of plan {self.plan_id}"


class Licence(FromEvent):
    """A purchase. `expires_at` counts unix seconds, 0 for a perpetual licence; the holder here is the first one."""

    licence_id = Uint256Field(unique=True)
    plan_id = Uint256Field(db_index=True)
    model_id = Uint256Field(db_index=True)
    holder = models.CharField(max_length=42)
    payer = models.CharField(max_length=42)
    price = Uint256Field()
    expires_at = models.PositiveBigIntegerField()
    calls = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"licence {self.licence_id}"


class LicenceTransfer(FromEvent):
    """A licence changed hands; minting counts. The holder is the `to_address` of the newest row."""

    licence_id = Uint256Field()
    from_address = models.CharField(max_length=42)
    to_address = models.CharField(max_length=42, db_index=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["licence_id", "-event"], name="licences_transfer_newest")
        ]

    def __str__(self) -> str:
        return f"licence {self.licence_id} to {self.to_address}"


class Withdrawal(FromEvent):
    """The owner of a model took out income."""

    model_id = Uint256Field(db_index=True)
    token = models.CharField(max_length=42)
    to_address = models.CharField(max_length=42)
    amount = Uint256Field()

    def __str__(self) -> str:
        return f"withdrawal of {self.amount} from model {self.model_id}"
