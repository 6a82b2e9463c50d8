"""Telling who follows a job what happens to it."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from marketplace.inference import events
from marketplace.inference.models import Job, JobState


def job_running_tell(job: Job) -> None:
    """Tell who follows the job that a worker has it."""
    events.job_event_add(job.pk, events.STATE, {"state": JobState.RUNNING, "attempt": job.attempts, "error": None})


def job_tell(job_id: UUID, kind: str, **data: Any) -> None:
    """Tell who follows the job, once what is told is committed. A broker that is away is told nothing."""
    transaction.on_commit(partial(events.job_event_add, job_id, kind, data), robust=True)
