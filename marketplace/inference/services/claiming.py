"""Whose job a worker takes next. A worker's message is a ticket: it stands for one job that is due, not for this one.

So one account's flood does not stand before another's single job, whatever the order of the messages, and a message
that is lost or comes twice costs or gives one turn and nothing else. What no ticket is left for `jobs_sweep` announces.

Nor do an account's jobs hold every thread of a worker, which may wait for one slow model (`seats`). Who has as many as
it may is passed over, and the ticket is spent: the thread of whichever of the process's jobs ends next looks again.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone
from weighhouse.core.faults import fault_point

from chain.prepared import Changes, Prepared, PreparedUpdate
from marketplace.inference.models import AccountTurn, Batch, Job, JobState
from marketplace.inference.seats import worker_seats
from marketplace.inference.services.moves import is_due

# Each look that finds nothing to take means that another worker took something meanwhile.
LOOKS = 50

# Each account that has a job in the queue, in the order of turns: one step in a partial index per account, however many
# jobs each has. Neither database does that for DISTINCT.
_STEPS = """
WITH RECURSIVE waiting(account_id) AS (
    SELECT (SELECT account_id FROM inference_job WHERE state = 'queued' AND {kind} ORDER BY account_id LIMIT 1)
    UNION ALL
    SELECT (SELECT account_id FROM inference_job WHERE state = 'queued' AND {kind}
            AND inference_job.account_id > waiting.account_id ORDER BY account_id LIMIT 1)
    FROM waiting WHERE waiting.account_id IS NOT NULL
)
SELECT account_id, served FROM (
    SELECT account_id,
        (SELECT COUNT(*) FROM inference_job WHERE state = 'running' AND inference_job.account_id = waiting.account_id)
            AS running,
        (SELECT served_at FROM inference_accountturn turn WHERE turn.account_id = waiting.account_id) AS served,
        (SELECT created_at FROM inference_job WHERE state = 'queued' AND {kind}
         AND inference_job.account_id = waiting.account_id ORDER BY created_at LIMIT 1) AS oldest
    FROM waiting WHERE account_id IS NOT NULL
) turns
ORDER BY running, CASE WHEN served <= %s THEN served ELSE oldest END, oldest, account_id
"""
_WAITING, _WAITING_TRIALS = _STEPS.format(kind="NOT is_trial"), _STEPS.format(kind="is_trial")
_TURN_FIRST = "INSERT INTO inference_accountturn (account_id, served_at) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_TURN_NEXT = "UPDATE inference_accountturn SET served_at = %s WHERE account_id = %s AND served_at = %s"


class Turn(NamedTuple):
    """An account that is next, and when it was served last, as the database says it; `None` for never."""

    account_id: int
    served: Any


def job_claim(*, job_id: UUID) -> Job | None:
    """Take this queued job if it is due, with a lease. `None` where it is not there to be taken."""
    now = timezone.now()
    account_id = Job.objects.filter(pk=job_id).values_list("account_id", flat=True).first()
    with transaction.atomic():
        if account_id is not None:
            # Before the job, as where a turn is taken.
            AccountTurn.objects.update_or_create(account_id=account_id, defaults={"served_at": now})
        job = _start(job_id, now)
        if job is None:
            transaction.set_rollback(True)
    return job


def job_claim_next() -> Job | None:
    """Take the job whose turn it is, with a lease. `None` where none is due.

    1. Of the accounts that have a job that is due, paid ones before trials: the fewest running first, then the one that
       a worker served longest ago. One that never was counts as served when its oldest job came, so that no stream of
       newcomers keeps the others waiting; and so does one that was served in the future, by a clock that was ahead.
    2. An account whose jobs hold as many threads of this process as they may is passed over.
    3. Take the account's turn by a conditional UPDATE: nobody served it since it was chosen, so that no account gets a
       second job while another that it was chosen before waits.
    4. Its oldest due job, by a conditional UPDATE that must change one row.
    5. Where another worker was faster at either, or a thread was given back meanwhile, look again: the order has
       changed.
    Whoever gets a job lets it go when it has ended here (`job_let_go`).
    """
    for _ in range(LOOKS):
        now, look = timezone.now(), worker_seats.look()
        found = job_next(now, look.admits)
        if found is None:
            if worker_seats.end(look):
                return None
            continue
        turn, job_id = found
        if not worker_seats.take(turn.account_id):
            continue
        job = None
        try:
            job = _turn_and_job_take(turn, job_id, now)
        finally:
            if job is None:
                worker_seats.free(turn.account_id)
        if job is not None:
            fault_point("job.claimed")
            return job
    return None


def job_let_go(*, job: Job) -> bool:
    """A thread has ended with a job that `job_claim_next` gave it. Whether one that was passed over may have it now."""
    return worker_seats.free(job.account_id)


def job_has_room_beside(*, job: Job) -> bool:
    """Whether one more job of its account may run in this process."""
    return worker_seats.has_room(job.account_id)


def job_next(now: datetime, admits: Callable[[Any], bool] = lambda _: True) -> tuple[Turn, UUID] | None:
    """Whose turn it is, and which job's, of the accounts that are admitted."""
    for is_trial, oldest in ((False, _oldest_paid), (True, _oldest_trial)):
        has_passed_over = False
        for turn in _turns(now, is_trial=is_trial):
            job_id = oldest.first(account_id=turn.account_id, now=now)
            if job_id is None:
                continue
            if admits(turn.account_id):
                return turn, job_id
            has_passed_over = True
        if has_passed_over:
            # No trial begins while a job that is paid for waits.
            return None
    return None


def _turns(now: datetime, *, is_trial: bool) -> list[Turn]:
    """Accounts that have a job in the queue, due or not, in the order of their turns."""
    # Clocks of several workers differ a little; one that is further ahead keeps no lease either.
    latest = connection.ops.adapt_datetimefield_value(now + timedelta(seconds=settings.JOB_LEASE_S))
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_TRIALS if is_trial else _WAITING, [latest])
        return [Turn._make(row) for row in cursor.fetchall()]


def _turn_take(turn: Turn, now: datetime) -> bool:
    """Whether the turn was still to be had. It holds the account's turn until the transaction ends."""
    at = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        if turn.served is None:
            cursor.execute(_TURN_FIRST, [turn.account_id, at])
        else:
            cursor.execute(_TURN_NEXT, [at, turn.account_id, turn.served])
        return bool(cursor.rowcount == 1)


def _turn_and_job_take(turn: Turn, job_id: UUID, now: datetime) -> Job | None:
    with transaction.atomic():
        job = _start(job_id, now) if _turn_take(turn, now) else None
        if job is None:
            transaction.set_rollback(True)
    return job


def _start(job_id: UUID, now: datetime) -> Job | None:
    """The job, which this worker holds from now on. Comes in a transaction."""
    until = now + timedelta(seconds=settings.JOB_LEASE_S)
    if _lease(job_id=job_id, now=now, token=uuid.uuid4(), until=until) != 1:
        return None
    return _started.first(job_id=job_id)


@PreparedUpdate
def _lease(job_id: Any, now: Any, token: Any, until: Any) -> Changes:
    changes = {"state": JobState.RUNNING, "lease_token": token, "lease_until": until, "started_at": now}
    return _startable(now).filter(pk=job_id), {**changes, "attempts": F("attempts") + 1}


@Prepared
def _started(job_id: Any) -> QuerySet[Job]:
    return Job.objects.select_related("account").filter(pk=job_id)


@Prepared
def _oldest_paid(account_id: Any, now: Any) -> QuerySet[Job, UUID]:
    return _oldest(_startable(now).filter(account_id=account_id, is_trial=False))


@Prepared
def _oldest_trial(account_id: Any, now: Any) -> QuerySet[Job, UUID]:
    return _oldest(_startable(now).filter(account_id=account_id, is_trial=True))


def _oldest(jobs: QuerySet[Job]) -> QuerySet[Job, UUID]:
    return jobs.order_by("created_at", "id").values_list("pk", flat=True)[:1]


def _startable(now: Any) -> QuerySet[Job]:
    """Jobs that may begin. None of a batch that its owner cancelled: the rest of it is cancelled one by one."""
    # No join: an UPDATE that finds its rows through one could, on PostgreSQL, claim one twice.
    cancelled = Batch.objects.filter(pk=OuterRef("batch_id"), cancelled_at__isnull=False)
    return Job.objects.filter(is_due(now), ~Exists(cancelled), start_before__gt=now)
