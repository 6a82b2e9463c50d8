"""Worker keys, receipts and the batches in which they are anchored."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from chain.fields import Uint256Field


class WorkerKey(models.Model):
    """A key that signs statements about jobs, by a delegation that the operator's key signed.

    It is for one operator at one market. `secret` is the private key, encrypted like payloads; it goes when the key is
    retired or revoked. A retired key vouches on for what it signed; a revoked one was taken back.
    """

    address = models.CharField(max_length=42, unique=True)
    secret = models.BinaryField(null=True, editable=False)
    chain_id = models.PositiveBigIntegerField()
    market = models.CharField(max_length=42)
    receipt_anchor = models.CharField(max_length=42)
    operator_id = Uint256Field()
    operator_key = models.CharField(max_length=42)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    delegation_signature = models.CharField(max_length=132)
    retired_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revocation_signature = models.CharField(max_length=132, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-pk"]

    def __str__(self) -> str:
        return f"worker key {self.address} of operator {self.operator_id}"


class ReceiptBatch(models.Model):
    """Receipts whose Merkle root the outbox anchors, once. `leaves` are their digests in order, 32 bytes each.

    `anchored_at` is the block time at which the contract knows the root, NULL while it does not; `is_final` says that
    no re-org can change that any more.
    """

    chain_id = models.PositiveBigIntegerField()
    receipt_anchor = models.CharField(max_length=42)
    operator_id = Uint256Field()
    root = models.CharField(max_length=66)
    leaves = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    anchored_at = models.DateTimeField(null=True)
    is_final = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "receipt batches"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["chain_id", "receipt_anchor", "operator_id", "root"], name="inference_batch_root"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["id"], condition=models.Q(is_final=False), name="inference_batch_open"),
        ]

    def __str__(self) -> str:
        return f"batch {self.root} of {self.count} receipts"

    @property
    def count(self) -> int:
        return len(self.leaves) // 32

    def digests(self) -> list[bytes]:
        leaves = bytes(self.leaves)
        return [leaves[place : place + 32] for place in range(0, len(leaves), 32)]


class Receipt(models.Model):
    """What is signed about a job, one row per job from its acceptance on.

    `acceptance` and `document` are statements without an anchor (`weighhouse.core.statements`), NULL until they are
    signed; `digest` is the receipt's, empty until then. The salts are encrypted like payloads and go when their owner
    says so.
    """

    job = models.OneToOneField("inference.Job", on_delete=models.CASCADE, related_name="receipt", primary_key=True)
    input_hash = models.CharField(max_length=66)
    input_salt = models.BinaryField(null=True, editable=False)
    output_hash = models.CharField(max_length=66, blank=True)
    output_salt = models.BinaryField(null=True, editable=False)
    acceptance = models.JSONField(null=True)
    document = models.JSONField(null=True)
    digest = models.CharField(max_length=66, blank=True)
    key = models.ForeignKey(WorkerKey, on_delete=models.PROTECT, null=True, related_name="+")
    issued_at = models.DateTimeField(null=True)
    batch = models.ForeignKey(ReceiptBatch, on_delete=models.PROTECT, null=True, related_name="receipts")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["job"], condition=models.Q(digest=""), name="inference_receipt_due"),
            models.Index(
                fields=["issued_at"],
                condition=models.Q(batch=None) & ~models.Q(digest=""),
                name="inference_receipt_loose",
            ),
        ]

    def __str__(self) -> str:
        return f"receipt of job {self.job_id}"
