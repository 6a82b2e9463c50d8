"""What a job's owner ends, and what time does."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace.accounts.models import Account
from marketplace.inference.errors import JobCancelledError, JobCancelLimitError, JobNotFinishedError, JobNotOpenError
from marketplace.inference.models import Job, JobPayload, JobState, Receipt
from marketplace.inference.selectors import job_get
from marketplace.inference.services.keeping import payloads_drop
from marketplace.inference.services.moves import account_lock, job_end
from marketplace.inference.trials import cost_words

CANCEL_WINDOW = timedelta(hours=1)


def job_cancel(*, account: Account, job_id: UUID) -> Job:
    """Cancel an open job and give its call back; what a worker still computes is thrown away.

    A queued job can always be cancelled. One that runs has taken a worker's time, so that an account may cancel
    `JOB_MAX_CANCELLED_RUNNING` of those in an hour; after that they run to their end. Cancelling again changes nothing.
    Raises JobNotFoundError, JobNotOpenError, JobCancelLimitError.
    """
    job = job_get(account=account, job_id=job_id)
    ended = queued_cancel(job) or running_cancel(job)
    job.refresh_from_db()
    if not ended and job.state != JobState.CANCELLED:
        raise JobNotOpenError(f"The job has ended already: it {job.state}.", state=job.state)
    return job


def job_payload_delete(*, account: Account, job_id: UUID, keep_salts: bool = False) -> None:
    """Delete inputs and outputs now. Again changes nothing. Raises JobNotFoundError, JobNotFinishedError.

    The receipt stays. Its salts go too unless they are to be kept, which those of a job that stores nothing are not:
    without them nobody, this site included, can show or try out what its hashes stand for.
    """
    job = job_get(account=account, job_id=job_id)
    if job.is_open:
        raise JobNotFinishedError("The job has not ended. Cancel it first, then delete its payload.", state=job.state)
    with transaction.atomic():
        payloads_drop(JobPayload.objects.filter(job=job))
        if not keep_salts:
            Receipt.objects.filter(job=job).update(input_salt=None, output_salt=None)


def queued_cancel(job: Job) -> bool:
    """Cancel a job that waits. False where it does not wait."""
    error = _cancelled(job)
    return job_end(Job.objects.filter(pk=job.pk, state=JobState.QUEUED), job, JobState.CANCELLED, error)


def _cancelled(job: Job, **data: Any) -> JobCancelledError:
    return JobCancelledError(f"The job was cancelled by its owner. {cost_words(job, is_cancelled=True)}", **data)


def text_may_be_told(*, account_id: Any) -> bool:
    """Whether text of the account's jobs is told while it is written.

    Not after `JOB_MAX_CANCELLED_RUNNING` jobs within an hour that failed once text had been told: nothing is counted
    for them, and a job that is made to fail in the end would be text for nothing.
    """
    since = timezone.now() - CANCEL_WINDOW
    failed = Job.objects.filter(account_id=account_id, state=JobState.FAILED, finished_at__gt=since)
    most: int = settings.JOB_MAX_CANCELLED_RUNNING
    return failed.filter(error__text_told=True).count() < most


def running_cancel(job: Job) -> bool:
    """Cancel a job that runs, if its account has not cancelled too many. False where it does not run."""
    most, running = settings.JOB_MAX_CANCELLED_RUNNING, Job.objects.filter(pk=job.pk, state=JobState.RUNNING)
    error = _cancelled(job, while_running=True)
    with transaction.atomic():
        account_lock(job.account_id)
        if not job_end(running, job, JobState.CANCELLED, error):
            return False
        since = timezone.now() - CANCEL_WINDOW
        cancelled = Job.objects.filter(account_id=job.account_id, state=JobState.CANCELLED, finished_at__gt=since)
        if cancelled.filter(error__while_running=True).count() > most:
            raise JobCancelLimitError(
                f"This account cancelled {most} running jobs within an hour, the most there may be. This one runs to "
                "its end. A job that waits can still be cancelled.",
                limit=most,
            )
    return True
