"""What follows when a job has ended, in the transaction that ended it: its payload, its followers, webhooks, batch."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from marketplace.inference import events, ledger
from marketplace.inference.models import Batch, Job, JobPayload, JobState
from marketplace.inference.services.keeping import payload_settle
from marketplace.inference.services.telling import job_tell
from marketplace.webhooks.models import EventKind
from marketplace.webhooks.services import event_record

_KINDS = {
    JobState.SUCCEEDED: EventKind.JOB_SUCCEEDED,
    JobState.FAILED: EventKind.JOB_FAILED,
    JobState.CANCELLED: EventKind.JOB_CANCELLED,
    JobState.EXPIRED: EventKind.JOB_EXPIRED,
}


def job_ended(job: Job, state: JobState, *, error: dict[str, Any] | None = None) -> None:
    """The caller's UPDATE moved the job to `state`, which happens once in its life.

    1. What was sent and computed is kept for its time, or goes.
    2. Who follows the job hears of its end, and webhooks are sent to whoever asked for them.
    3. Its batch has one open job less; where that was the last one, the batch has ended, and is told of too.
    """
    payload_settle(job, state)
    # Behind what the payload took along: the end is in the stream even where all before it is gone.
    job_tell(job.pk, events.END, state=state, error=error)
    data = {"job": str(job.pk), "state": str(state), "batch": str(job.batch_id) if job.batch_id else None}
    event_record(account_id=job.account_id, kind=_KINDS[state], subject=job.pk, data=data)
    if job.batch_id is not None:
        _batch_goes_on(job, job.batch_id)


def _batch_goes_on(job: Job, batch_id: UUID) -> None:
    # The first UPDATE locks the row until the transaction ends, so that exactly one job finds itself the last.
    rows = Batch.objects.filter(pk=batch_id)
    rows.update(open_jobs=F("open_jobs") - 1)
    now = timezone.now()
    if rows.filter(open_jobs=0, ended_at=None).update(ended_at=now) != 1:
        return
    ledger.batch_place_free(job=job)
    if not job.store:
        until = now + timedelta(seconds=settings.PAYLOAD_HANDOUT_S)
        JobPayload.objects.filter(job__batch_id=batch_id).update(delete_at=until)
    data = {"batch": str(batch_id), "state": "ended"}
    event_record(account_id=job.account_id, kind=EventKind.BATCH_ENDED, subject=batch_id, data=data)
