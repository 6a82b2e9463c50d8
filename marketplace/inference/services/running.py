"""The moves of a worker that holds a job: keep, end, put back."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain.prepared import Changes, PreparedUpdate
from marketplace.inference import events, ledger
from marketplace.inference.models import Job, JobPayload, JobState
from marketplace.inference.payloads import payload_encrypt
from marketplace.inference.receipts.issuing import output_commit, receipt_output
from marketplace.inference.services.aftermath import job_ended
from marketplace.inference.services.moves import (
    CheckedAt,
    end_marked,
    error_json,
    job_end,
    job_enqueue,
    receipt_at_commit,
    rows_held,
)
from marketplace.inference.services.telling import job_tell
from models_registry.runtime.specs import RunResult


def job_lease_renew(*, job: Job) -> bool:
    """Keep the lease of a running job. False where it is lost: the job was cancelled or given to another worker."""
    lease_until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_S)
    return rows_held(job).update(lease_until=lease_until) == 1


def job_is_held(*, job: Job) -> bool:
    """False where the job was cancelled or given to another worker. One that is not to be seen yet counts as held."""
    row = Job.objects.filter(pk=job.pk).values("state", "lease_token").first()
    return row is None or (row["state"] == JobState.RUNNING and row["lease_token"] == job.lease_token)


def job_succeed(*, job: Job, result: RunResult, licence: CheckedAt) -> bool:
    """Store the result and count the call, once. False where the lease was lost: then nothing is stored."""
    value = {"outputs": result.outputs, "usage": dict(result.usage)}
    commitment = output_commit(result.outputs)
    with transaction.atomic():
        moved = _succeed(
            job_id=job.pk,
            lease_token=job.lease_token,
            now=timezone.now(),
            fingerprint=dict(result.fingerprint),
            timings=dict(result.timings),
            block_number=licence.block_number,
            block_hash=licence.block_hash,
        )
        if moved != 1:
            return False
        end_marked()
        ledger.call_settle(job=job)
        _payload_fill(job_id=job.pk, outputs=payload_encrypt(job.pk, value))
        receipt_output(job=job, commitment=commitment)
        job_ended(job, JobState.SUCCEEDED)
        receipt_at_commit(job)
        fault_point("job.ending")
    return True


@PreparedUpdate
def _succeed(
    *, job_id: Any, lease_token: Any, now: Any, fingerprint: Any, timings: Any, block_number: Any, block_hash: Any
) -> Changes:
    rows = Job.objects.filter(pk=job_id, state=JobState.RUNNING, lease_token=lease_token)
    return rows, {
        "state": JobState.SUCCEEDED,
        "finished_at": now,
        "lease_token": None,
        "lease_until": None,
        "error": None,
        "fingerprint": fingerprint,
        "timings": timings,
        "checked_block_number": block_number,
        "checked_block_hash": block_hash,
    }


@PreparedUpdate
def _payload_fill(job_id: Any, outputs: Any) -> Changes:
    return JobPayload.objects.filter(job_id=job_id), {"outputs": outputs}


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
        job_tell(job.pk, events.STATE, state=JobState.QUEUED, attempt=job.attempts, error=error.code)
        job_enqueue(job_id=job.pk, delay_s=delay.total_seconds())
    return moved == 1
