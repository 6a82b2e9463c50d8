"""Mending what crashes leave behind."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from marketplace.inference import events
from marketplace.inference.errors import JobExpiredError, JobWorkerLostError
from marketplace.inference.models import Job, JobState
from marketplace.inference.receipts.issuing import receipts_sweep
from marketplace.inference.services.ending import queued_cancel
from marketplace.inference.services.moves import is_due, job_end, job_enqueue, rows_held, tickets_waiting
from marketplace.inference.services.telling import job_tell
from marketplace.inference.trials import cost_words

logger = logging.getLogger(__name__)

# A queued job whose message may have been lost is sent again after this long; a message too many does no harm.
REDELIVER_AFTER = timedelta(seconds=60)
# In one sweep. Where tickets are spent because an account's jobs hold all threads that they may, more would be spent.
MOST_ANNOUNCED = 250


def jobs_sweep() -> None:
    """Mend what crashes leave behind. Any number may run at once.

    1. A running job whose lease has passed, or ends later than one that is kept can, lost its worker: queue it again,
       or fail it after `JOB_MAX_ATTEMPTS`.
    2. A queued job that nobody started in time expires.
    3. A queued job of a batch that was cancelled is cancelled.
    4. Where the broker holds fewer tickets than there are due jobs, it may have lost some: those that were last
       announced a while ago are announced again, the oldest first, as many as are missing and `MOST_ANNOUNCED` at most,
       so that a long queue makes no long one in the broker.
    5. A job that ended and has no receipt gets one.
    """
    now = timezone.now()
    for job in Job.objects.filter(_is_lost(now), state=JobState.RUNNING):
        _lost_worker(job)
    for job in Job.objects.filter(state=JobState.QUEUED, start_before__lte=now):
        _expire(job)
    for job in Job.objects.filter(state=JobState.QUEUED, batch__cancelled_at__isnull=False):
        queued_cancel(job)
    _announce_again(now)
    receipts_sweep()


def _announce_again(now: datetime) -> None:
    due = Job.objects.filter(is_due(now))
    overdue = due.filter(enqueued_at__lt=now - REDELIVER_AFTER)
    if not overdue.exists():
        return
    missing = min(max(due.count() - tickets_waiting(), 0), MOST_ANNOUNCED)
    for job_id in list(overdue.order_by("enqueued_at").values_list("pk", flat=True)[:missing]):
        if overdue.filter(pk=job_id).update(enqueued_at=now) == 1:
            job_enqueue(job_id=job_id)


def _is_lost(now: datetime) -> Q:
    """Leases that no live worker has. One of a clock that was ahead would hold the job for as long as that was."""
    latest = now + 2 * timedelta(seconds=settings.JOB_LEASE_S)
    return Q(lease_until__lt=now) | Q(lease_until__gt=latest)


def _lost_worker(job: Job) -> None:
    held = rows_held(job).filter(_is_lost(timezone.now()))
    if job.attempts >= settings.JOB_MAX_ATTEMPTS:
        error = JobWorkerLostError(
            f"The job was tried {job.attempts} times and each time its worker ended without an answer. "
            f"{cost_words(job)} Try smaller inputs, or tell the operator.",
            attempts=job.attempts,
        )
        job_end(held, job, JobState.FAILED, error)
        return
    now = timezone.now()
    if held.update(state=JobState.QUEUED, lease_token=None, lease_until=None, run_after=None, enqueued_at=now) == 1:
        logger.warning("Job %s lost its worker and is queued again", job.pk)
        job_tell(job.pk, events.STATE, state=JobState.QUEUED, attempt=job.attempts, error=JobWorkerLostError.code)
        job_enqueue(job_id=job.pk)


def _expire(job: Job) -> None:
    reason = f" The last attempt said: {job.error['message']}" if job.error else ""
    error = JobExpiredError(
        f"No worker could run the job within {settings.JOB_QUEUE_TTL_S:.0f} s. {cost_words(job)} "
        f"Try again later.{reason}"
    )
    queued = Job.objects.filter(pk=job.pk, state=JobState.QUEUED, start_before__lte=timezone.now())
    job_end(queued, job, JobState.EXPIRED, error)
