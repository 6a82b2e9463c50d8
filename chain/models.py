"""What the indexer keeps: its place in the chain, the headers that may still change, and decoded events.

Below it the outbox: what this site itself sends to the chain.
"""

from typing import ClassVar

from django.db import models

from chain.fields import Uint256Field


class Stream(models.Model):
    """The indexer's cursor, lease and last report for one chain.

    `next_block` is the first block not yet indexed; `last_block` and `last_hash` name the block before it as it was
    when it was indexed. They move only in the transaction that writes the events.
    """

    chain_id = models.PositiveBigIntegerField(unique=True)
    next_block = models.PositiveBigIntegerField()
    last_block = models.PositiveBigIntegerField(null=True)
    last_hash = models.CharField(max_length=66, blank=True)
    # Which contracts the rows came from; another deployment means other rows.
    contracts_hash = models.CharField(max_length=66, blank=True)
    # Block 0 of the chain that was indexed: the id alone does not tell two development chains apart.
    genesis_hash = models.CharField(max_length=66, blank=True)

    lease_owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True)
    # Grows by one with each new holder. A commit with an older number changes no row and is rolled back.
    lease_token = models.PositiveBigIntegerField(default=0)

    head_block = models.PositiveBigIntegerField(null=True)
    # The head's own time, in unix seconds: by it pages say how old their picture is.
    head_timestamp = models.PositiveBigIntegerField(null=True)
    finalized_block = models.PositiveBigIntegerField(null=True)
    seen_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    error_at = models.DateTimeField(null=True)
    # Stays when the error is over, with `error_at`.
    last_error_code = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return f"chain {self.chain_id}, next block {self.next_block}"


class BlockHeader(models.Model):
    """A block of the window that is not final yet, as it was indexed."""

    chain_id = models.PositiveBigIntegerField()
    number = models.PositiveBigIntegerField()
    hash = models.CharField(max_length=66)
    parent_hash = models.CharField(max_length=66)
    timestamp = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "number"], name="chain_header_number")]

    def __str__(self) -> str:
        return f"{self.number} {self.hash}"


class LogPlace(models.Model):
    """Where a log stands in the chain."""

    chain_id = models.PositiveBigIntegerField()
    block_number = models.PositiveBigIntegerField()
    block_hash = models.CharField(max_length=66)
    block_time = models.DateTimeField()
    tx_hash = models.CharField(max_length=66, db_index=True)
    tx_index = models.PositiveIntegerField()
    log_index = models.PositiveIntegerField()
    address = models.CharField(max_length=42)
    contract = models.CharField(max_length=64)

    class Meta:
        abstract = True


class ChainEvent(LogPlace):
    """A decoded log. Primary keys ascend in chain order: a re-org deletes from the fork upward before it adds.

    `args` holds integers as decimal strings, addresses checksummed and bytes as `0x` hex.
    """

    name = models.CharField(max_length=64)
    args = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "block_hash", "log_index"], name="chain_event_place"),
        ]
        indexes = [
            models.Index(fields=["chain_id", "block_number"], name="chain_event_block"),
            models.Index(fields=["contract", "name", "id"], name="chain_event_name"),
        ]

    def __str__(self) -> str:
        return f"{self.contract}.{self.name} at {self.block_number}/{self.log_index}"


class ParkedLog(LogPlace):
    """A log of a known contract that could not be decoded. `reindex` tries it again; nothing drops it."""

    topics = models.JSONField()
    data = models.TextField()
    reason = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "block_hash", "log_index"], name="chain_parked_place"),
        ]

    def __str__(self) -> str:
        return f"parked log of {self.contract} at {self.block_number}/{self.log_index}"


class RemovedEvent(LogPlace):
    """An event that a re-org removed, remembered for a while so that pages can say why something is gone.

    `ancestor_block` is the newest block that both branches share. The row goes when the same transaction's event is
    indexed again. What the event was about is kept beside its arguments, so that it is found without reading them.
    """

    name = models.CharField(max_length=64)
    args = models.JSONField()
    model_id = Uint256Field(null=True, db_index=True)
    plan_id = Uint256Field(null=True, db_index=True)
    licence_id = Uint256Field(null=True, db_index=True)
    ancestor_block = models.PositiveBigIntegerField()
    removed_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["chain_id", "block_hash", "log_index"], name="chain_removed_place"),
        ]

    def __str__(self) -> str:
        return f"{self.contract}.{self.name}, removed from block {self.block_number}"


class Topic(models.IntegerChoices):
    """What kind of thing happened, for people who look for one kind. Labels are the API's words."""

    MODEL = 1, "model"
    PLAN = 2, "plan"
    PURCHASE = 3, "purchase"
    LICENCE = 4, "licence"
    USE = 5, "use"
    INCOME = 6, "income"
    OPERATOR = 7, "operator"
    SUSPENSION = 8, "suspension"
    MARKET = 9, "market"


class EventSubject(models.Model):
    """An event is about a model or an address: the index of the activity feeds.

    `value` is the model's id in decimal, or the address with its checksum; the two never look alike. Two rows for each
    event must be cheap: no key of their own, and one index beside the primary key, which a feed reads alone.
    """

    pk = models.CompositePrimaryKey("event_id", "value")
    event = models.ForeignKey(ChainEvent, on_delete=models.CASCADE, related_name="+", db_index=False)
    value = models.CharField(max_length=78)
    topic = models.PositiveSmallIntegerField(choices=Topic)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["value", "event", "topic"], name="chain_subject_feed"),
        ]

    def __str__(self) -> str:
        return f"event {self.event_id} is about {self.value}"


class ContractCheck(models.Model):
    """What code the node had at a contract's address when the indexer last compared it with the address book."""

    chain_id = models.PositiveBigIntegerField()
    name = models.CharField(max_length=64)
    address = models.CharField(max_length=42)
    code_hash = models.CharField(max_length=66)
    checked_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["chain_id", "name"], name="chain_contract_check_name"),
        ]

    def __str__(self) -> str:
        return f"code of {self.name} at {self.address}"


class OutboxAccount(models.Model):
    """An account that this site sends from: who works on it, and what was last seen of it.

    `name` is the role whose signer the settings name. The key behind it may change, and with it `address`.
    """

    chain_id = models.PositiveBigIntegerField()
    name = models.CharField(max_length=40)
    address = models.CharField(max_length=42, blank=True)

    lease_owner = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True)
    # Grows by one with each new holder. A commit with an older number changes no row and is rolled back.
    lease_token = models.PositiveBigIntegerField(default=0)

    balance_wei = Uint256Field(null=True)
    balance_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    # Why nothing new is signed, or soon will not be; empty while all is well. `error_*` is the last failure of a round.
    alarm_code = models.CharField(max_length=100, blank=True)
    alarm_message = models.TextField(blank=True)
    alarm_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    error_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "name"], name="chain_outbox_account")]

    def __str__(self) -> str:
        return f"{self.name} on chain {self.chain_id}"


class OutboxState(models.TextChoices):
    QUEUED = "queued"
    SIGNED = "signed"
    MINED = "mined"
    FINAL = "final"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OutboxOutcome(models.TextChoices):
    """What the block that holds the transaction made of it. `cancelled`: the transaction that took its place."""

    NONE = ""
    SUCCEEDED = "succeeded"
    REVERTED = "reverted"
    CANCELLED = "cancelled"


class OutboxTransaction(models.Model):
    """A call that this site sends, written in the database transaction of its cause. See docs/outbox.md."""

    account = models.ForeignKey(OutboxAccount, on_delete=models.PROTECT, related_name="transactions")
    purpose = models.CharField(max_length=60)
    # At most one transaction per key, so that a cause that runs twice sends once.
    dedupe_key = models.CharField(max_length=200, unique=True)
    to = models.CharField(max_length=42)
    data = models.TextField()
    value_wei = Uint256Field(default=0)

    state = models.CharField(max_length=10, choices=OutboxState, default=OutboxState.QUEUED)
    state_at = models.DateTimeField(auto_now_add=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # A call that would fail now is tried again at `not_before`, and given up after a number of `tries`.
    tries = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    reason_code = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)

    # Set from the first signature on. `tx_hash` is the attempt in the block, before that the newest one.
    sender = models.CharField(max_length=42, blank=True)
    nonce = models.PositiveBigIntegerField(null=True)
    tx_hash = models.CharField(max_length=66, blank=True, db_index=True)
    # The head when the nonce was given: the search for who used it begins below it.
    signed_block = models.PositiveBigIntegerField(null=True)
    outcome = models.CharField(max_length=10, choices=OutboxOutcome, blank=True, default=OutboxOutcome.NONE)
    block_number = models.PositiveBigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True)
    # Gas and the value that moved, in wei.
    cost_wei = Uint256Field(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "sender", "nonce"],
                condition=models.Q(state__in=["signed", "mined"]),
                name="chain_outbox_nonce",
            ),
        ]
        indexes = [models.Index(fields=["account", "state", "id"], name="chain_outbox_state")]

    def __str__(self) -> str:
        return f"{self.purpose} {self.pk} ({self.state})"


class OutboxAttempt(models.Model):
    """One signature of a transaction, kept before it is sent. Of those with one nonce at most one is ever mined."""

    transaction = models.ForeignKey(OutboxTransaction, on_delete=models.CASCADE, related_name="attempts")
    hash = models.CharField(max_length=66, unique=True)
    # Empty where the attempt was found on chain and this site has no record of its signature.
    raw = models.TextField(blank=True)
    nonce = models.PositiveBigIntegerField()
    # A transfer of nothing to oneself, which takes the place of the call.
    is_cancel = models.BooleanField(default=False)
    max_fee_wei = Uint256Field()
    tip_wei = Uint256Field()
    gas = models.PositiveBigIntegerField()
    value_wei = Uint256Field(default=0)
    signed_at = models.DateTimeField(auto_now_add=True, db_index=True)
    sent_at = models.DateTimeField(null=True)
    # The node asked for higher fees.
    is_underpriced = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.hash

    @property
    def worst_wei(self) -> int:
        return int(self.gas * self.max_fee_wei + self.value_wei)
