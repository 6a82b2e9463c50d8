"""Read models of `LicenceMarket`: one row per event, rebuilt from the chain by `reindex`.

Nothing here is ever updated. What can change on chain (the holder of a licence, its expiry, what it holds, whether a
plan still sells) is the newest row; when a re-org deletes events their rows cascade, and the earlier value is the
newest again. Amounts are in the smallest unit of the plan's token, times in unix seconds.
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
    RENEWABLE = 8, "renew for another term"


class LicenceDisplay(models.TextChoices):
    """How a licence stands, for people. Derived, never stored."""

    VALID = "valid", "valid"
    EXPIRED = "expired", "expired"
    SUSPENDED = "suspended", "suspended"
    CANCELLED = "cancelled", "cancelled"
    SETTLED = "settled", "settled"
    MISSING = "missing", "not on chain at its newest block"


class FromEvent(models.Model):
    """A row that one log of the chain made, and that goes with it."""

    event = models.OneToOneField(ChainEvent, on_delete=models.CASCADE, related_name="+")

    class Meta:
        abstract = True


class OfLicence(FromEvent):
    """A row about one licence, found by licence, newest first."""

    licence_id = Uint256Field()

    class Meta:
        abstract = True
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["licence_id", "-event"], name="lic_%(class)s_newest")
        ]


class Plan(FromEvent):
    """Terms on which licences of a model are sold. `price` counts the token's smallest unit, `period` seconds.

    `vesting` is in seconds, 0 is at once; shares are in basis points; `operator_id` 0 is none.
    """

    plan_id = Uint256Field(unique=True)
    model_id = Uint256Field(db_index=True)
    plan_hash = models.CharField(max_length=66)
    # The zero address stands for the chain's own coin.
    token = models.CharField(max_length=42)
    price = Uint256Field()
    period = models.PositiveBigIntegerField()
    vesting = models.PositiveBigIntegerField()
    calls = models.PositiveBigIntegerField()
    supply = models.PositiveBigIntegerField()
    fee_bps = models.PositiveSmallIntegerField()
    operator_id = models.PositiveBigIntegerField(db_index=True)
    service_bps = models.PositiveSmallIntegerField()
    entry_bps = models.PositiveSmallIntegerField()
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
    def is_renewable(self) -> bool:
        return bool(self.flags & Right.RENEWABLE)

    @property
    def entry(self) -> int:
        """The part of the price that is the plan's income at once."""
        return self.price * self.entry_bps // 10_000 if self.vesting else self.price

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
    """A purchase; the holder here is the first one. `expires_at` is on the model's clock, 0 for a perpetual licence.

    `entry` is the part of the price that was the plan's income at once.
    """

    licence_id = Uint256Field(unique=True)
    plan_id = Uint256Field(db_index=True)
    model_id = Uint256Field(db_index=True)
    holder = models.CharField(max_length=42)
    payer = models.CharField(max_length=42)
    price = Uint256Field()
    entry = Uint256Field()
    expires_at = models.PositiveBigIntegerField()
    calls = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"licence {self.licence_id}"


class LicenceRenewal(OfLicence):
    """A new term. `expires_at` (on the model's clock) and `calls` (over the licence's life) hold from here on."""

    payer = models.CharField(max_length=42)
    price = Uint256Field()
    entry = Uint256Field()
    amount = Uint256Field()
    expires_at = models.PositiveBigIntegerField()
    calls = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"renewal of licence {self.licence_id}"


class LicenceTransfer(FromEvent):
    """A licence changed hands; minting and burning count. The holder is the `to_address` of the newest row."""

    licence_id = Uint256Field()
    from_address = models.CharField(max_length=42)
    to_address = models.CharField(max_length=42, db_index=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["licence_id", "-event"], name="licences_transfer_newest")
        ]

    def __str__(self) -> str:
        return f"licence {self.licence_id} to {self.to_address}"


class LicenceCancellation(OfLicence):
    """The holder ended the licence. `settle_at` is the block time from which it is settled, 0: in the same call."""

    plan_id = Uint256Field(db_index=True)
    holder = models.CharField(max_length=42)
    settle_at = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"cancellation of licence {self.licence_id}"


class LicenceSettlement(OfLicence):
    """What had not vested was paid, and the licence's token burned."""

    plan_id = Uint256Field(db_index=True)
    holder = models.CharField(max_length=42, db_index=True)
    to_address = models.CharField(max_length=42)
    refund = Uint256Field()

    def __str__(self) -> str:
        return f"settlement of licence {self.licence_id}"


class Holding(OfLicence):
    """What a licence holds after an event: `amount` for its present term, of which `taken` has become income.

    One row per purchase, renewal, vesting and settlement. `vested` is what this event moved to the plan's income.
    """

    plan_id = Uint256Field(db_index=True)
    amount = Uint256Field()
    taken = Uint256Field()
    vested = Uint256Field()

    def __str__(self) -> str:
        return f"holding of licence {self.licence_id}"


class UsageReport(OfLicence):
    """The plan's operator attested that `used` calls were used over the licence's life."""

    used = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.used} calls of licence {self.licence_id}"


class SkipReason(models.IntegerChoices):
    """Why an entry of a report did not count."""

    UNKNOWN = 0, "there is no such licence, or it was settled"
    UNMETERED = 1, "its plan counts no calls"
    FOREIGN = 2, "another operator counts its calls"
    DISABLED = 3, "the operator is disabled"
    CLOSED = 4, "it was cancelled, and the time for reports is over"
    NOT_HIGHER = 5, "as many calls were reported before"
    ABOVE_TOTAL = 6, "it has fewer calls"

    @property
    def may_pass(self) -> bool:
        """Whether the same report may count later: once the operator's key is this one, or calls were added."""
        return self in (SkipReason.FOREIGN, SkipReason.ABOVE_TOTAL)


class UsageSkip(OfLicence):
    """An entry of a report that did not count."""

    used = models.PositiveBigIntegerField()
    reason = models.PositiveSmallIntegerField(choices=SkipReason)

    def __str__(self) -> str:
        return f"skipped report of licence {self.licence_id}"


class KeyDelivery(OfLicence):
    """The holder asked for the release key; everything that the licence held has vested."""

    holder = models.CharField(max_length=42)
    recipient_key = models.CharField(max_length=66)
    wrapped_key_hash = models.CharField(max_length=66)

    def __str__(self) -> str:
        return f"key delivery of licence {self.licence_id}"


class IncomeSplit(FromEvent):
    """Income of a plan was credited to those who share it. `publisher` is the part of the plan's own model."""

    plan_id = Uint256Field(db_index=True)
    token = models.CharField(max_length=42)
    amount = Uint256Field()
    treasury = models.CharField(max_length=42, db_index=True)
    fee = Uint256Field()
    payee = models.CharField(max_length=42, db_index=True)
    service = Uint256Field()
    publisher = Uint256Field()

    def __str__(self) -> str:
        return f"split of {self.amount} of plan {self.plan_id}"


class AncestorCredit(FromEvent):
    """A part of a split that went to an ancestor of the plan's model."""

    plan_id = Uint256Field()
    model_id = Uint256Field(db_index=True)
    token = models.CharField(max_length=42)
    amount = Uint256Field()

    def __str__(self) -> str:
        return f"credit of {self.amount} to model {self.model_id}"


class Withdrawal(FromEvent):
    """The owner of a model took out income."""

    model_id = Uint256Field(db_index=True)
    token = models.CharField(max_length=42)
    to_address = models.CharField(max_length=42)
    amount = Uint256Field()

    def __str__(self) -> str:
        return f"withdrawal of {self.amount} from model {self.model_id}"


class AccountWithdrawal(FromEvent):
    """An operator's payee or a treasury took out what it was credited."""

    account = models.CharField(max_length=42, db_index=True)
    token = models.CharField(max_length=42)
    to_address = models.CharField(max_length=42)
    amount = Uint256Field()

    def __str__(self) -> str:
        return f"withdrawal of {self.amount} by {self.account}"


class Operator(FromEvent):
    """Who runs workers and attests use. Key and payee are those registered; `OperatorChange` has newer ones."""

    operator_id = models.PositiveBigIntegerField(unique=True)
    owner = models.CharField(max_length=42, db_index=True)
    key = models.CharField(max_length=42)
    payee = models.CharField(max_length=42)

    def __str__(self) -> str:
        return f"operator {self.operator_id}"


class OperatorChange(FromEvent):
    """An operator's owner named a new key, a new payee, or both."""

    operator_id = models.PositiveBigIntegerField(db_index=True)
    key = models.CharField(max_length=42)
    payee = models.CharField(max_length=42)

    def __str__(self) -> str:
        return f"change of operator {self.operator_id}"


class OperatorDisablement(FromEvent):
    """The guardian disabled the operator, for ever: its reports do not count any more."""

    operator_id = models.PositiveBigIntegerField(db_index=True)

    def __str__(self) -> str:
        return f"operator {self.operator_id} is disabled"


class Suspension(FromEvent):
    """A model's clock stands, sales and access stop. It lapses at `lapses_at` (block time) unless it is confirmed."""

    model_id = Uint256Field(db_index=True)
    reason = models.CharField(max_length=66)
    lapses_at = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"suspension of model {self.model_id}"


class SuspensionConfirmation(FromEvent):
    """The suspension lasts until it is ended."""

    model_id = Uint256Field(db_index=True)

    def __str__(self) -> str:
        return f"confirmed suspension of model {self.model_id}"


class SuspensionEnd(FromEvent):
    """The model's clock runs on. One that lapsed has no such row. `suspended_s` counts over the model's life."""

    model_id = Uint256Field(db_index=True)
    suspended_s = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"end of a suspension of model {self.model_id}"
