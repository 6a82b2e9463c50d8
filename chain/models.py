"""What the indexer keeps: its place in the chain, the headers that may still change, and decoded events."""

from django.db import models


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
    finalized_block = models.PositiveBigIntegerField(null=True)
    seen_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=100, blank=True)
    error_message = models.TextField(blank=True)
    error_at = models.DateTimeField(null=True)

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
