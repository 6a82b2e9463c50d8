"""Jobs, what goes in and comes out of them, and the ledger of calls."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from chain.fields import Uint256Field
from marketplace.inference.receipts.models import Receipt, ReceiptBatch, WorkerKey

__all__ = [
    "OPEN_STATES",
    "CallEntry",
    "CallState",
    "Job",
    "JobPayload",
    "JobState",
    "LicenceUse",
    "Receipt",
    "ReceiptBatch",
    "WorkerKey",
]


class JobState(models.TextChoices):
    QUEUED = "queued", "waiting for a worker"
    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "expired"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class Job(models.Model):
    """One inference request and its life: queued -> running -> succeeded | failed | cancelled | expired.

    Each move is a conditional UPDATE that must change one row (`services`). `lease_token` names the attempt that may
    finish the job; `lease_until` passes when its worker stopped renewing it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    model_id = Uint256Field()
    licence_id = Uint256Field()
    release_digest = models.CharField(max_length=66)
    task = models.CharField(max_length=60)
    state = models.CharField(max_length=16, choices=JobState, default=JobState.QUEUED)
    # {"code", "message", ...} of a job that did not succeed.
    error = models.JSONField(null=True)
    # What ran the job, as the runner states it.
    fingerprint = models.JSONField(null=True)
    timings = models.JSONField(null=True)
    # Where the licence was last found valid.
    checked_block_number = models.PositiveBigIntegerField()
    checked_block_hash = models.CharField(max_length=66)

    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    # Not to be tried again before this moment (null: at once, whatever the clocks of web and worker say), and not
    # started at all after the other.
    run_after = models.DateTimeField(null=True)
    start_before = models.DateTimeField()
    enqueued_at = models.DateTimeField(default=timezone.now)

    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    request_mac = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="inference_job_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["account", "-created_at", "-id"], name="inference_job_listing"),
            models.Index(
                fields=["state", "lease_until"], condition=models.Q(state__in=OPEN_STATES), name="inference_job_open"
            ),
        ]

    def __str__(self) -> str:
        return f"job {self.id}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def is_metered(self) -> bool:
        """Whether the call counts against a limit; false too where the ledger has no entry."""
        entry = getattr(self, "call", None)
        return entry is not None and entry.limit > 0


class JobPayload(models.Model):
    """Inputs and outputs of a job, encrypted (`payloads`). The row goes at `delete_at`, or when its owner says so."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="payload", primary_key=True)
    request = models.BinaryField()
    outputs = models.BinaryField(null=True)
    delete_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"payload of job {self.job_id}"


class LicenceUse(models.Model):
    """How many calls of a licence are used and reserved: the sums of its `CallEntry` rows, kept beside them.

    One row per purchase, so that a reservation is one conditional UPDATE and exact under concurrency on any database.
    The ledger outlives re-orgs and resets of the chain, after which another purchase may be given the same licence id.
    """

    licence_id = Uint256Field()
    # The transaction that bought the licence; it keeps its hash when it is mined again.
    purchase = models.CharField(max_length=66)
    used = models.PositiveBigIntegerField(default=0)
    reserved = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["licence_id", "purchase"], name="inference_use_of_purchase"),
        ]

    def __str__(self) -> str:
        return f"use of licence {self.licence_id}: {self.used} and {self.reserved} reserved"


class CallState(models.TextChoices):
    RESERVED = "reserved", "reserved"
    SETTLED = "settled", "counted"
    RELEASED = "released", "not counted"


class CallEntry(models.Model):
    """The ledger: one entry per job, reserved at acceptance, settled on success, released otherwise. Primary data."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="call")
    licence_id = Uint256Field(db_index=True)
    purchase = models.CharField(max_length=66)
    state = models.CharField(max_length=16, choices=CallState, default=CallState.RESERVED)
    # Calls that the licence had when the entry was made; 0 where the plan is unmetered.
    limit = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "call entries"

    def __str__(self) -> str:
        return f"call of job {self.job_id}: {self.state}"
