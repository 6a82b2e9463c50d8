"""What every move of a job shares: whose row it is, how it ends, how workers hear of it."""

import logging
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain.prepared import Prepared
from marketplace.accounts.models import Account
from marketplace.celery import app as celery_app
from marketplace.inference import ledger
from marketplace.inference.models import Job, JobState
from marketplace.inference.receipts.issuing import receipt_issue
from marketplace.inference.services.aftermath import job_ended
from marketplace.inference.trials import trial_release

logger = logging.getLogger(__name__)

BROKER_TIMEOUT_S = 5
RUN_TASK = "marketplace.inference.tasks.job_run"


class CheckedAt(Protocol):
    """The block at which a licence was last found valid."""

    @property
    def block_number(self) -> int: ...

    @property
    def block_hash(self) -> str: ...


def job_enqueue(*, job_id: UUID, delay_s: float = 0) -> None:
    """Tell the workers. A broker that is away loses nothing: `jobs_sweep` tells them later."""
    try:
        celery_app.send_task(RUN_TASK, args=[str(job_id)], countdown=delay_s or None)
    except OperationalError as error:
        logger.warning("Job %s waits for the broker: %s", job_id, error)


def tickets_waiting() -> int:
    """Messages for workers that no worker has taken yet; 0 where the broker does not say."""
    client = redis.Redis.from_url(settings.BROKER_URL, socket_timeout=BROKER_TIMEOUT_S, socket_connect_timeout=2)
    try:
        return int(client.llen(settings.CELERY_TASK_ROUTES[RUN_TASK]["queue"]))
    except redis.RedisError as error:
        logger.warning("The broker does not say how many tickets wait: %s", type(error).__name__)
        return 0
    finally:
        client.close()


def error_json(error: WeighhouseError) -> dict[str, Any]:
    """An error as a job keeps it: code, message and data, nothing of the server."""
    return {**error.data, "code": error.code, "message": error.message, "retryable": error.retryable}


def job_end(rows: QuerySet[Job], job: Job, state: JobState, error: WeighhouseError) -> bool:
    """Move one of `rows`, which are all of this job, to a state without a result, and give its call back."""
    with transaction.atomic():
        moved = rows.update(
            state=state, error=error_json(error), finished_at=timezone.now(), lease_token=None, lease_until=None
        )
        if moved != 1:
            return False
        end_marked()
        entry = ledger.call_release(job=job)
        if entry is not None and state != JobState.CANCELLED:
            trial_release(job=job, entry=entry)
        job_ended(job, state, error=error_json(error))
        receipt_at_commit(job)
        fault_point("job.ending")
    return True


def end_marked() -> None:
    """Between the commit of a job's end and all that follows it. Comes before anything else that waits for it."""
    transaction.on_commit(partial(fault_point, "job.ended"))


def receipt_at_commit(job: Job) -> None:
    """Sign the receipt once the end of the job is stored and no lock is held. What fails is left to the sweep."""
    transaction.on_commit(partial(receipt_issue, job_id=job.pk), robust=True)


def rows_held(job: Job) -> QuerySet[Job]:
    """The row of a job, as long as the attempt that `job` was read for holds it."""
    return Job.objects.filter(pk=job.pk, state=JobState.RUNNING, lease_token=job.lease_token)


def is_due(now: Any) -> Q:
    """Jobs that wait and may be tried now."""
    return Q(state=JobState.QUEUED) & (Q(run_after=None) | Q(run_after__lte=now))


def account_lock(account_id: Any) -> None:
    """Let nobody else count this account's jobs until the transaction ends."""
    # What names the account locks its key as it is written, at the end of a job last of all: without a conflict.
    _locked.first(account_id=account_id)


@Prepared
def _locked(account_id: Any) -> QuerySet[Account, int]:
    return Account.objects.select_for_update(no_key=True).filter(pk=account_id).values_list("pk", flat=True)
