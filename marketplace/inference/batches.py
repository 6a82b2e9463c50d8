"""Reads about batches: how far they are, and their results in the order of the inputs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, QuerySet, Sum

from marketplace.accounts.models import Account
from marketplace.inference.errors import BatchNotFoundError
from marketplace.inference.models import OPEN_STATES, Batch, CallEntry, CallState, Job, JobPayload, JobState
from marketplace.inference.selectors import rate_limit_of


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Inputs and jobs of a batch per state, its calls per state of the ledger, and how long its results are kept."""

    inputs: dict[str, int]
    jobs: dict[str, int]
    calls: dict[str, int]
    ended_inputs: int
    results_until: datetime | None


def batch_list(account: Account) -> QuerySet[Batch]:
    """The account's batches, newest first. A key that is bound to a licence sees its own alone."""
    return Batch.objects.filter(account=account, **account.rows_seen)


def batch_get(*, account: Account, batch_id: UUID) -> Batch:
    """One of the account's batches. Raises BatchNotFoundError, for others' batches too."""
    batch = batch_list(account).filter(pk=batch_id).first()
    if batch is None:
        raise BatchNotFoundError("This account has no such batch.")
    return batch


def batch_progress(batch: Batch) -> BatchProgress:
    """Counts of the moment. `results_until` is null where nothing is kept."""
    rows = Job.objects.filter(batch=batch).order_by().values_list("state").annotate(Count("pk"), Sum("input_count"))
    jobs = dict.fromkeys(JobState.values, 0)
    inputs = dict.fromkeys(JobState.values, 0)
    for state, job_count, input_count in rows:
        jobs[state], inputs[state] = job_count, input_count
    entries = CallEntry.objects.filter(job__batch=batch).order_by().values_list("state").annotate(Sum("calls"))
    calls = {**dict.fromkeys(CallState.values, 0), **dict(entries)}
    until = JobPayload.objects.filter(job__batch=batch).aggregate(until=Max("delete_at"))["until"]
    ended = sum(count for state, count in inputs.items() if state not in OPEN_STATES)
    return BatchProgress(inputs=inputs, jobs=jobs, calls=calls, ended_inputs=ended, results_until=until)


def batch_rate_limit(batch: Batch) -> dict[str, Any] | None:
    """The token bucket of the batch's licence, as `RateLimit` headers tell it."""
    job = Job.objects.filter(batch=batch).select_related("call").first()
    return None if job is None else rate_limit_of(job)


def batch_jobs(batch: Batch, *, after: int, limit: int) -> list[Job]:
    """The jobs that hold the inputs from number `after` on, `limit` inputs at most, in order."""
    rows = Job.objects.filter(batch=batch, batch_position__lt=after + limit).order_by("batch_position")
    return [job for job in rows if job.batch_position + job.input_count > after]


def results_of_job(job: Job, outputs: list[Any] | None) -> list[dict[str, Any]]:
    """One entry per input of a job of a batch: its number in the batch, its job, and its output or error."""
    return [
        {
            "index": job.batch_position + place,
            "job": job.pk,
            "state": job.state,
            "output": outputs[place] if outputs is not None and place < len(outputs) else None,
            "error": job.error,
        }
        for place in range(job.input_count)
    ]
