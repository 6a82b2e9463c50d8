"""Whose job a worker takes next. A worker's message is a ticket: it stands for one job that is due, not for this one.

So one account's flood does not stand before another's single job, whatever the order of the messages, and a message
that is lost or comes twice costs or gives one turn and nothing else. What no ticket is left for `jobs_sweep` announces.
"""

import uuid
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, QuerySet
from django.utils import timezone

from marketplace.inference.models import AccountTurn, Job, JobState
from marketplace.inference.services.moves import is_due

# Each look that finds nothing to take means that another worker took something meanwhile.
LOOKS = 50


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
        rows = _startable(now).filter(is_trial=is_trial)
        oldest = dict(rows.order_by().values_list("account").annotate(oldest=Min("created_at")))
        if oldest:
            account_id = _account_next(oldest)
            found = rows.filter(account_id=account_id).order_by("created_at", "id").values_list("pk", flat=True).first()
            if found is not None:
                return found
    return None


def _account_next(oldest: dict[int, datetime]) -> int:
    running = dict(
        Job.objects.filter(state=JobState.RUNNING).order_by().values_list("account").annotate(jobs=Count("pk"))
    )
    served = dict(AccountTurn.objects.filter(account_id__in=oldest).values_list("account_id", "served_at"))
    never = datetime.min.replace(tzinfo=timezone.now().tzinfo)

    def turn(account_id: int) -> tuple[int, datetime, datetime, int]:
        return running.get(account_id, 0), served.get(account_id, never), oldest[account_id], account_id

    return min(oldest, key=turn)


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
    return job


def _startable(now: datetime) -> QuerySet[Job]:
    return Job.objects.filter(is_due(now), start_before__gt=now)
