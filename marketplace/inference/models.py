"""Jobs, batches of them, what goes in and comes out, and the ledger of calls."""

import uuid
from datetime import timedelta
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
    "DedicatedModel",
    "Isolation",
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


class Isolation(models.TextChoices):
    SHARED = "shared", "a runner that all buyers of the release share"
    DEDICATED = "dedicated", "a runner of the licence alone"


OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class Batch(models.Model):
    """Up to a thousand inputs of one model in order, divided into jobs. It ends when the last of them has ended.

    `open_jobs` counts down in the transactions that end its jobs; to the caps of open jobs a batch is one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="batches")
    model_id = Uint256Field()
    licence_id = Uint256Field()
    # The API key that asked for it, None where a person did.
    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.SET_NULL, null=True, related_name="+")
    release_digest = models.CharField(max_length=66)
    task = models.CharField(max_length=60)
    input_count = models.PositiveIntegerField()
    job_count = models.PositiveIntegerField()
    open_jobs = models.PositiveIntegerField()
    store = models.BooleanField(default=True)
    isolation = models.CharField(max_length=16, choices=Isolation, default=Isolation.SHARED)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    request_mac = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Its owner wants no more of it: what waits is cancelled, also what comes back into the queue later.
    cancelled_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        verbose_name_plural = "batches"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="inference_batch_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["account", "-created_at", "-id"], name="inference_batch_listing"),
        ]

    def __str__(self) -> str:
        return f"batch {self.id}"

    @property
    def state(self) -> str:
        """open, cancelling or ended."""
        if self.ended_at is not None:
            return "ended"
        return "open" if self.cancelled_at is None else "cancelling"


class Job(models.Model):
    """One inference request and its life: queued -> running -> succeeded | failed | cancelled | expired.

    Each move is a conditional UPDATE that must change one row (`services`). `lease_token` names the attempt that may
    finish the job; `lease_until` passes when its worker stopped renewing it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    model_id = Uint256Field()
    # None exactly where the job is a trial.
    licence_id = Uint256Field(null=True)
    is_trial = models.BooleanField(default=False)
    # The API key that asked for it, None where a person did.
    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.SET_NULL, null=True, related_name="+")
    release_digest = models.CharField(max_length=66)
    # Whether its caller chose them: then whoever repeats the job wants no others.
    release_is_pinned = models.BooleanField(default=False)
    licence_is_named = models.BooleanField(default=False)
    task = models.CharField(max_length=60)
    # The batch that it is part of, and which of the batch's inputs is its first.
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, null=True, related_name="jobs")
    batch_position = models.PositiveIntegerField(default=0)
    input_count = models.PositiveIntegerField(default=1)
    # Whether its payload is kept for a while; if not, it goes when the result was handed out once.
    store = models.BooleanField(default=True)
    # Decided at acceptance: by the buyer, the model's owner or the operator.
    isolation = models.CharField(max_length=16, choices=Isolation, default=Isolation.SHARED)
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
            models.CheckConstraint(
                condition=models.Q(is_trial=True, licence_id=None) | models.Q(is_trial=False, licence_id__isnull=False),
                name="inference_job_has_a_licence_or_is_a_trial",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["account", "-created_at", "-id"], name="inference_job_listing"),
            models.Index(
                fields=["state", "lease_until"], condition=models.Q(state__in=OPEN_STATES), name="inference_job_open"
            ),
            models.Index(fields=["batch", "batch_position"], name="inference_job_of_batch"),
            # Whose turn it is (`services.claiming`): the oldest waiting job of each account.
            models.Index(
                fields=["account", "created_at", "id"],
                condition=models.Q(state="queued", is_trial=False),
                name="inference_job_waiting",
            ),
            models.Index(
                fields=["account", "created_at", "id"],
                condition=models.Q(state="queued", is_trial=True),
                name="inference_job_waiting_trial",
            ),
            models.Index(fields=["account"], condition=models.Q(state="running"), name="inference_job_running"),
            # How many of an account's jobs came to nothing lately (`services.ending`).
            models.Index(
                fields=["account", "finished_at"],
                condition=models.Q(state__in=["failed", "cancelled"]),
                name="inference_job_came_to_nothing",
            ),
        ]

    def __str__(self) -> str:
        return f"job {self.id}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def took(self) -> timedelta | None:
        """From acceptance to end."""
        return self.finished_at - self.created_at if self.finished_at else None

    @property
    def is_metered(self) -> bool:
        """Whether the call counts against a limit; false too where the ledger has no entry."""
        entry = getattr(self, "call", None)
        return entry is not None and entry.limit > 0


class UploadKind(models.TextChoices):
    TEXT = "text", "text"
    IMAGE = "image", "image"
    AUDIO = "audio", "audio"


class InputUpload(models.Model):
    """A large input that was sent ahead: an encrypted file (`upload_files`), for jobs of its account alone.

    It goes with the last payload that names it; one that no job took goes at `delete_at`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="input_uploads")
    # The API key that sent it, None where a person did.
    api_key = models.ForeignKey("accounts.ApiKey", on_delete=models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(max_length=8, choices=UploadKind)
    size = models.PositiveBigIntegerField()
    # The SHA-256 of its content, encrypted like a payload: of a short text it could be searched.
    digest = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delete_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"upload {self.id}"


class JobPayload(models.Model):
    """Inputs and outputs of a job, encrypted (`payloads`). The row goes at `delete_at`, or when its owner says so.

    Of a job that stores nothing `request` is emptied when it ends.
    """

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="payload", primary_key=True)
    request = models.BinaryField()
    outputs = models.BinaryField(null=True)
    delete_at = models.DateTimeField(db_index=True)
    uploads = models.ManyToManyField(InputUpload, related_name="payloads")

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
    # Jobs that have not ended, each of which reserves one call or more; a batch counts as one job.
    open_jobs = models.PositiveIntegerField(default=0)
    # The token bucket (`ledger.rate_take`): when it is full again, in microseconds of unix time.
    full_at_us = models.BigIntegerField(default=0)
    is_metered = models.BooleanField(default=False)
    # The calls of the newest report on chain that went into the outbox (`reporting`).
    enqueued = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["licence_id", "purchase"], name="inference_use_of_purchase"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["id"],
                condition=models.Q(is_metered=True, used__gt=models.F("enqueued")),
                name="inference_use_unreported",
            ),
        ]

    def __str__(self) -> str:
        return f"use of licence {self.licence_id}: {self.used} and {self.reserved} reserved"


class CallState(models.TextChoices):
    RESERVED = "reserved", "reserved"
    SETTLED = "settled", "counted"
    RELEASED = "released", "not counted"


class CallEntry(models.Model):
    """The ledger: one entry per job, reserved at acceptance, settled on success, released otherwise. Primary data.

    A trial has no licence and no purchase: its calls come out of `TrialBudget`.
    """

    job = models.OneToOneField(Job, on_delete=models.PROTECT, related_name="call")
    licence_id = Uint256Field(db_index=True, null=True)
    purchase = models.CharField(max_length=66, blank=True)
    # What the job costs: one call per input, one more per input that is explained.
    calls = models.PositiveIntegerField(default=1)
    # The day (UTC) on which they count against an API key's daily cap and a trial's budgets.
    counted_on = models.DateField(null=True)
    # Under which name the client's address has a budget of trials on that day.
    trial_client = models.CharField(max_length=80, blank=True)
    state = models.CharField(max_length=16, choices=CallState, default=CallState.RESERVED)
    # Calls that the licence had when the entry was made; 0 where the plan is unmetered.
    limit = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "call entries"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(calls__gte=1), name="inference_entry_costs_a_call"),
            models.CheckConstraint(
                condition=models.Q(licence_id__isnull=False) | models.Q(purchase="", limit=0),
                name="inference_entry_of_a_trial_has_no_purchase",
            ),
        ]

    def __str__(self) -> str:
        return f"call of job {self.job_id}: {self.state}"


class TrialBudget(models.Model):
    """Calls of trials that were taken on one day (UTC) by a model, an account or the clients of an address."""

    subject = models.CharField(max_length=90)
    day = models.DateField(db_index=True)
    calls = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["subject", "day"], name="inference_trial_budget_once"),
        ]

    def __str__(self) -> str:
        return f"trials of {self.subject} on {self.day}: {self.calls}"


class TrialRefusal(models.Model):
    """The owner of a model wants no trials of it."""

    model_id = Uint256Field(unique=True)
    set_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"no trials of model {self.model_id}"


class DedicatedModel(models.Model):
    """The owner of a model wants its jobs to run in dedicated runners alone."""

    model_id = Uint256Field(unique=True)
    set_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"dedicated runners of model {self.model_id}"


class AccountTurn(models.Model):
    """When a worker last took a job of an account: of those that wait, the one served longest ago is next."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", primary_key=True
    )
    served_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"turn of account {self.account_id}"
