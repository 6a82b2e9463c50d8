"""Whose job a worker takes next. A worker's message is a ticket: it stands for one job that is due, not for this one.

So one account's flood does not stand before another's single job, whatever the order of the messages, and a message
that is lost or comes twice costs or gives one turn and nothing else. What no ticket is left for `jobs_sweep` announces.
"""

import uuid
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.utils import timezone

from marketplace.inference import events
from marketplace.inference.models import AccountTurn, Batch, Job, JobState
from marketplace.inference.services.moves import is_due
from marketplace.inference.services.telling import job_tell

# Each look that finds nothing to take means that another worker took something meanwhile.
LOOKS = 50

# Each account that has a job in the queue, with when its oldest was made: one step in a partial index per account,
# however many jobs each has. Neither database does that for DISTINCT.
_STEPS = """
WITH RECURSIVE waiting(account_id) AS (
    SELECT (SELECT account_id FROM inference_job WHERE state = 'queued' AND {kind} ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT (SELECT account_id FROM inference_job WHERE state = 'queued' AND {kind}
            AND inference_job.account_id > waiting.account_id ORDER BY account_id LIMIT 1)
    FROM waiting WHERE waiting.account_id IS NOT NULL
)
SELECT account_id, (SELECT created_at FROM inference_job WHERE state = 'queued' AND {kind}
                    AND inference_job.account_id = waiting.account_id ORDER BY created_at LIMIT 1)
FROM waiting WHERE account_id IS NOT NULL
"""
_WAITING, _WAITING_TRIALS = _STEPS.format(kind="NOT is_trial"), _STEPS.format(kind="is_trial")


def job_claim(*, job_id: UUID) -> Job | None:
    """Take this queued job if it is due, with a lease. `None` where it is not there to be taken."""
    return _claim(job_id, timezone.now())


def job_claim_next() -> Job | None:
    """Take the job whose turn it is, with a lease. `None` where none is due.

    1. Of the accounts that have a job that is due, paid ones before trials: the fewest running first, then the one that
       a worker served longest ago, then the one whose job is the oldest.
    2. Its oldest due job, by a conditional UPDATE that must change one row.
    3. Where another worker was faster, look again: the order has changed.
    """
    for _ in range(LOOKS):
        now = timezone.now()
        job_id = job_next(now)
        if job_id is None:
            return None
        job = _claim(job_id, now)
        if job is not None:
            return job
    return None


def job_next(now: datetime) -> UUID | None:
    """Which job's turn it is."""
    for is_trial in (False, True):
        for account_id in _accounts_in_turn(is_trial=is_trial):
            due = _startable(now).filter(is_trial=is_trial, account_id=account_id).order_by("created_at", "id")
            found = due.values_list("pk", flat=True).first()
            if found is not None:
                return found
    return None


def _accounts_in_turn(*, is_trial: bool) -> list[int]:
    """Accounts that have a job in the queue, due or not, in the order of their turns."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_TRIALS if is_trial else _WAITING)
        oldest = dict(cursor.fetchall())
    running = dict(
        Job.objects.filter(state=JobState.RUNNING).order_by().values_list("account").annotate(jobs=Count("pk"))
    )
    served = dict(AccountTurn.objects.filter(account_id__in=oldest).values_list("account_id", "served_at"))
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(
        oldest, key=lambda account: (running.get(account, 0), served.get(account, never), oldest[account], account)
    )


def _claim(job_id: UUID, now: datetime) -> Job | None:
    with transaction.atomic():
        claimed = (
            _startable(now)
            .filter(pk=job_id)
            .update(
                state=JobState.RUNNING,
                lease_token=uuid.uuid4(),
                lease_until=now + timedelta(seconds=settings.JOB_LEASE_S),
                attempts=F("attempts") + 1,
                started_at=now,
            )
        )
        if claimed != 1:
            return None
        job = Job.objects.select_related("account").get(pk=job_id)
        AccountTurn.objects.update_or_create(account_id=job.account_id, defaults={"served_at": now})
        job_tell(job_id, events.STATE, state=JobState.RUNNING, attempt=job.attempts, error=None)
    return job


def _startable(now: datetime) -> QuerySet[Job]:
    """Jobs that may begin. None of a batch that its owner cancelled: the rest of it is cancelled one by one."""
    # No join: an UPDATE that finds its rows through one could, on PostgreSQL, claim one twice.
    cancelled = Batch.objects.filter(pk=OuterRef("batch_id"), cancelled_at__isnull=False)
    return Job.objects.filter(is_due(now), ~Exists(cancelled), start_before__gt=now)
