"""The moves of a worker: claim, keep, end."""

import uuid
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError

from marketplace.inference import ledger
from marketplace.inference.models import Job, JobPayload, JobState
from marketplace.inference.payloads import payload_encrypt
from marketplace.inference.receipts.issuing import output_commit, receipt_output
from marketplace.inference.services.moves import (
    CheckedAt,
    error_json,
    is_due,
    job_end,
    job_enqueue,
    receipt_at_commit,
    rows_held,
)
from models_registry.runtime.specs import RunResult


def job_claim(*, job_id: UUID) -> Job | None:
    """Take a queued job that is due, with a lease. `None` where it is not there to be taken."""
    now, token = timezone.now(), uuid.uuid4()
    claimed = Job.objects.filter(is_due(now), pk=job_id, start_before__gt=now).update(
        state=JobState.RUNNING,
        lease_token=token,
        lease_until=now + timedelta(seconds=settings.JOB_LEASE_S),
        attempts=F("attempts") + 1,
        started_at=now,
    )
    return Job.objects.select_related("account").get(pk=job_id) if claimed == 1 else None


def job_lease_renew(*, job: Job) -> bool:
    """Keep the lease of a running job. False where it is lost: the job was cancelled or given to another worker."""
    lease_until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_S)
    return rows_held(job).update(lease_until=lease_until) == 1


def job_succeed(*, job: Job, result: RunResult, licence: CheckedAt) -> bool:
    """Store the result and count the call, once. False where the lease was lost: then nothing is stored."""
    value = {"outputs": result.outputs, "usage": dict(result.usage)}
    commitment = output_commit(result.outputs)
    with transaction.atomic():
        moved = rows_held(job).update(
            state=JobState.SUCCEEDED,
            finished_at=timezone.now(),
            lease_token=None,
            lease_until=None,
            error=None,
            fingerprint=dict(result.fingerprint),
            timings=dict(result.timings),
            checked_block_number=licence.block_number,
            checked_block_hash=licence.block_hash,
        )
        if moved != 1:
            return False
        ledger.call_settle(job=job)
        JobPayload.objects.filter(job=job).update(outputs=payload_encrypt(job.pk, value))
        receipt_output(job=job, commitment=commitment)
        receipt_at_commit(job)
    return True


def job_fail(*, job: Job, error: WeighhouseError) -> bool:
    """End a job that this worker holds, and give its call back. False where the lease was lost."""
    return job_end(rows_held(job), job, JobState.FAILED, error)


def job_retry(*, job: Job, error: WeighhouseError, counts: bool) -> bool:
    """Put a job back that this worker holds, to be tried again later. False where the lease was lost.

    `counts` says whether this attempt is one of `JOB_MAX_ATTEMPTS`; one that a dead node spoilt is not.
    """
    delay = timedelta(seconds=min(2 ** min(job.attempts, 5), 30))
    moved = rows_held(job).update(
        state=JobState.QUEUED,
        lease_token=None,
        lease_until=None,
        error=error_json(error),
        attempts=F("attempts") - (0 if counts else 1),
        run_after=timezone.now() + delay,
        enqueued_at=timezone.now() + delay,
    )
    if moved == 1:
        job_enqueue(job_id=job.pk, delay_s=delay.total_seconds())
    return moved == 1
