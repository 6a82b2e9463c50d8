"""The life of a job. Each move is a conditional UPDATE that must change one row.

queued -> running -> succeeded | failed, queued | running -> cancelled, queued -> expired, running -> queued when a
worker was lost. The call of the licence moves in the same transaction (`ledger`).
"""

import logging
import re
import uuid
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError
from weighhouse.core.errors import WeighhouseError

from chain.selectors import LicenceState
from marketplace.accounts.models import Account
from marketplace.celery import app as celery_app
from marketplace.inference import ledger
from marketplace.inference.errors import (
    IdempotencyConflictError,
    IdempotencyKeyInvalidError,
    JobCancelledError,
    JobCancelLimitError,
    JobExpiredError,
    JobNotFinishedError,
    JobNotOpenError,
    JobTaskUnsupportedError,
    JobTooManyOpenError,
    JobWorkerLostError,
)
from marketplace.inference.models import OPEN_STATES, Job, JobPayload, JobState
from marketplace.inference.payloads import payload_encrypt, request_mac
from marketplace.inference.selectors import job_get
from marketplace.licences.errors import CallsExhaustedError
from marketplace.licences.services import licence_purchases, licences_usable
from models_registry import selectors as registry
from models_registry.models import Release
from models_registry.runtime.specs import RunResult
from models_registry.runtime.tasks import TASKS, TaskSpec

logger = logging.getLogger(__name__)

RUN_TASK = "marketplace.inference.tasks.job_run"
# A queued job whose message may have been lost is sent again after this long; a message too many does no harm.
REDELIVER_AFTER = timedelta(seconds=60)
CANCEL_WINDOW = timedelta(hours=1)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


class CheckedAt(Protocol):
    """The block at which a licence was last found valid."""

    @property
    def block_number(self) -> int: ...

    @property
    def block_hash(self) -> str: ...


def job_create(
    *,
    account: Account,
    model_id: int,
    inputs: Any,
    parameters: Any = None,
    licence_id: int | None = None,
    release_digest: str | None = None,
    idempotency_key: str | None = None,
) -> tuple[Job, bool]:
    """Accept a request and queue it. Returns the job and whether it is new.

    1. The same idempotency key with the same request gives the same job, with another request an error.
    2. Find the release: the pinned one, or the newest that is listed. Check inputs and parameters by its task.
    3. Ask the chain for a licence that is valid now, and find its purchase. Nothing is written before that.
    4. In one transaction: reserve a call of a licence that may have one more open job, write job, encrypted payload
       and ledger entry. Then queue it.

    Raises `model.not_found`, `release.not_found`, `input.invalid`, `licence.*`, `chain.*`, `job.idempotency_*`,
    `job.too_many_open`.
    """
    mac = request_mac(
        {
            "model": str(model_id),
            "inputs": inputs,
            "parameters": parameters,
            "licence": None if licence_id is None else str(licence_id),
            "release": release_digest,
        }
    )
    known = _job_of_key(account, idempotency_key, mac)
    if known is not None:
        return known, False
    release = _release_find(model_id, release_digest)
    spec = _task_spec(release)
    request = {"inputs": spec.validate_inputs(inputs), "parameters": spec.validate_parameters(parameters)}
    usable = licences_usable(holder=account.address, model_id=model_id, licence_id=licence_id)
    purchases = licence_purchases(usable)
    job = Job(
        account=account,
        model_id=model_id,
        release_digest=release.digest,
        task=release.task,
        start_before=timezone.now() + timedelta(seconds=settings.JOB_QUEUE_TTL_S),
        idempotency_key=idempotency_key,
        request_mac=mac,
    )
    try:
        _job_store(job, [state for state in usable if state.licence_id in purchases], purchases, request)
    except IntegrityError:
        # Somebody with the same key was faster; anything else that collides is a defect.
        known = _job_of_key(account, idempotency_key, mac)
        if known is None:
            raise
        return known, False
    return job, True


def job_enqueue(*, job_id: UUID, delay_s: float = 0) -> None:
    """Tell the workers. A broker that is away loses nothing: `jobs_sweep` tells them later."""
    try:
        celery_app.send_task(RUN_TASK, args=[str(job_id)], countdown=delay_s or None)
    except OperationalError as error:
        logger.warning("Job %s waits for the broker: %s", job_id, error)


def job_claim(*, job_id: UUID) -> Job | None:
    """Take a queued job that is due, with a lease. `None` where it is not there to be taken."""
    now, token = timezone.now(), uuid.uuid4()
    claimed = Job.objects.filter(_due(now), pk=job_id, start_before__gt=now).update(
        state=JobState.RUNNING,
        lease_token=token,
        lease_until=now + timedelta(seconds=settings.JOB_LEASE_S),
        attempts=F("attempts") + 1,
        started_at=now,
    )
    return Job.objects.select_related("account").get(pk=job_id) if claimed == 1 else None


def job_lease_renew(*, job: Job) -> bool:
    """Keep the lease of a running job. False where it is lost: the job was cancelled or given to another worker."""
    lease_until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_S)
    return _held(job).update(lease_until=lease_until) == 1


def job_succeed(*, job: Job, result: RunResult, licence: CheckedAt) -> bool:
    """Store the result and count the call, once. False where the lease was lost: then nothing is stored."""
    value = {"outputs": result.outputs, "usage": dict(result.usage)}
    with transaction.atomic():
        moved = _held(job).update(
            state=JobState.SUCCEEDED,
            finished_at=timezone.now(),
            lease_token=None,
            lease_until=None,
            error=None,
            fingerprint=dict(result.fingerprint),
            timings=dict(result.timings),
            checked_block_number=licence.block_number,
            checked_block_hash=licence.block_hash,
        )
        if moved != 1:
            return False
        ledger.call_settle(job=job)
        JobPayload.objects.filter(job=job).update(outputs=payload_encrypt(job.pk, value))
    return True


def job_fail(*, job: Job, error: WeighhouseError) -> bool:
    """End a job that this worker holds, and give its call back. False where the lease was lost."""
    return _job_end(_held(job), job, JobState.FAILED, error)


def job_retry(*, job: Job, error: WeighhouseError, counts: bool) -> bool:
    """Put a job back that this worker holds, to be tried again later. False where the lease was lost.

    `counts` says whether this attempt is one of `JOB_MAX_ATTEMPTS`; one that a dead node spoilt is not.
    """
    delay = timedelta(seconds=min(2 ** min(job.attempts, 5), 30))
    moved = _held(job).update(
        state=JobState.QUEUED,
        lease_token=None,
        lease_until=None,
        error=error_json(error),
        attempts=F("attempts") - (0 if counts else 1),
        run_after=timezone.now() + delay,
        enqueued_at=timezone.now() + delay,
    )
    if moved == 1:
        job_enqueue(job_id=job.pk, delay_s=delay.total_seconds())
    return moved == 1


def job_cancel(*, account: Account, job_id: UUID) -> Job:
    """Cancel an open job and give its call back; what a worker still computes is thrown away.

    A queued job can always be cancelled. One that runs has taken a worker's time, so that an account may cancel
    `JOB_MAX_CANCELLED_RUNNING` of those in an hour; after that they run to their end. Cancelling again changes nothing.
    Raises JobNotFoundError, JobNotOpenError, JobCancelLimitError.
    """
    job = job_get(account=account, job_id=job_id)
    error = JobCancelledError("The job was cancelled by its owner. No call was counted.")
    ended = _job_end(Job.objects.filter(pk=job_id, state=JobState.QUEUED), job, JobState.CANCELLED, error)
    ended = ended or _running_cancel(job)
    job.refresh_from_db()
    if not ended and job.state != JobState.CANCELLED:
        raise JobNotOpenError(f"The job has ended already: it {job.state}.", state=job.state)
    return job


def job_payload_delete(*, account: Account, job_id: UUID) -> None:
    """Delete inputs and outputs now. Again changes nothing. Raises JobNotFoundError, JobNotFinishedError."""
    job = job_get(account=account, job_id=job_id)
    if job.is_open:
        raise JobNotFinishedError("The job has not ended. Cancel it first, then delete its payload.", state=job.state)
    JobPayload.objects.filter(job=job).delete()


def payloads_purge() -> int:
    """Delete the payloads whose time is over. Returns how many. Those of open jobs stay until the job ends."""
    due = JobPayload.objects.filter(delete_at__lte=timezone.now()).exclude(job__state__in=OPEN_STATES)
    deleted, _ = due.delete()
    return deleted


def jobs_sweep() -> None:
    """Mend what crashes leave behind. Any number may run at once.

    1. A running job whose lease has passed lost its worker: queue it again, or fail it after `JOB_MAX_ATTEMPTS`.
    2. A queued job that nobody started in time expires.
    3. A queued job that is due and was last announced a while ago is announced again: the broker may have lost it.
    """
    now = timezone.now()
    for job in Job.objects.filter(state=JobState.RUNNING, lease_until__lt=now):
        _lost_worker(job)
    for job in Job.objects.filter(state=JobState.QUEUED, start_before__lte=now):
        _expire(job)
    due = Job.objects.filter(_due(now), enqueued_at__lt=now - REDELIVER_AFTER)
    for job_id in due.values_list("pk", flat=True):
        if due.filter(pk=job_id).update(enqueued_at=now) == 1:
            job_enqueue(job_id=job_id)


def error_json(error: WeighhouseError) -> dict[str, Any]:
    """An error as a job keeps it: code, message and data, nothing of the server."""
    return {**error.data, "code": error.code, "message": error.message, "retryable": error.retryable}


def _lost_worker(job: Job) -> None:
    held = _held(job).filter(lease_until__lt=timezone.now())
    if job.attempts >= settings.JOB_MAX_ATTEMPTS:
        error = JobWorkerLostError(
            f"The job was tried {job.attempts} times and each time its worker ended without an answer. "
            "No call was counted. Try smaller inputs, or tell the operator.",
            attempts=job.attempts,
        )
        _job_end(held, job, JobState.FAILED, error)
        return
    now = timezone.now()
    if held.update(state=JobState.QUEUED, lease_token=None, lease_until=None, run_after=None, enqueued_at=now) == 1:
        logger.warning("Job %s lost its worker and is queued again", job.pk)
        job_enqueue(job_id=job.pk)


def _expire(job: Job) -> None:
    reason = f" The last attempt said: {job.error['message']}" if job.error else ""
    error = JobExpiredError(
        f"No worker could run the job within {settings.JOB_QUEUE_TTL_S:.0f} s. No call was counted. "
        f"Try again later.{reason}"
    )
    queued = Job.objects.filter(pk=job.pk, state=JobState.QUEUED, start_before__lte=timezone.now())
    _job_end(queued, job, JobState.EXPIRED, error)


def _job_end(rows: QuerySet[Job], job: Job, state: JobState, error: WeighhouseError) -> bool:
    with transaction.atomic():
        moved = rows.update(
            state=state, error=error_json(error), finished_at=timezone.now(), lease_token=None, lease_until=None
        )
        if moved != 1:
            return False
        ledger.call_release(job=job)
    return True


def _running_cancel(job: Job) -> bool:
    """Cancel a job that runs, if its account has not cancelled too many. False where it does not run."""
    most, running = settings.JOB_MAX_CANCELLED_RUNNING, Job.objects.filter(pk=job.pk, state=JobState.RUNNING)
    error = JobCancelledError("The job was cancelled by its owner. No call was counted.", while_running=True)
    with transaction.atomic():
        _account_lock(job.account_id)
        if not _job_end(running, job, JobState.CANCELLED, error):
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


def _account_lock(account_id: Any) -> None:
    """Let nobody else count this account's jobs until the transaction ends."""
    Account.objects.select_for_update().filter(pk=account_id).first()


def _held(job: Job) -> QuerySet[Job]:
    """The row of a job, as long as the attempt that `job` was read for holds it."""
    return Job.objects.filter(pk=job.pk, state=JobState.RUNNING, lease_token=job.lease_token)


def _due(now: datetime) -> Q:
    return Q(state=JobState.QUEUED) & (Q(run_after=None) | Q(run_after__lte=now))


def _job_store(job: Job, usable: list[LicenceState], purchases: dict[int, str], request: dict[str, Any]) -> None:
    """Reserve a call of the first licence that has one, and write the job with all that belongs to it, or nothing."""
    with transaction.atomic():
        _account_lock(job.account_id)
        licence = _call_reserve(usable, purchases)
        _account_room(job.account_id)
        job.licence_id = licence.licence_id
        job.checked_block_number, job.checked_block_hash = licence.block_number, licence.block_hash
        job.save(force_insert=True)
        ledger.call_enter(job=job, purchase=purchases[licence.licence_id], limit=licence.calls)
        delete_at = timezone.now() + timedelta(seconds=settings.PAYLOAD_RETENTION_S)
        JobPayload.objects.create(job=job, request=payload_encrypt(job.pk, request), delete_at=delete_at)
        transaction.on_commit(lambda: job_enqueue(job_id=job.pk))


def _job_of_key(account: Account, key: str | None, mac: str) -> Job | None:
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise IdempotencyKeyInvalidError("An Idempotency-Key has 1 to 255 visible ASCII characters, without spaces.")
    job = Job.objects.filter(account=account, idempotency_key=key).select_related("call").first()
    if job is not None and job.request_mac != mac:
        raise IdempotencyConflictError(
            "This Idempotency-Key was used for another request. Take a new key for a new request.", job=str(job.pk)
        )
    return job


def _release_find(model_id: int, digest: str | None) -> Release:
    registry.model_owner(model_id)
    if digest is None:
        return registry.release_latest(model_id)
    return registry.release_of_model(model_id, digest.lower())


def _task_spec(release: Release) -> TaskSpec:
    spec = TASKS.get(release.task)
    if spec is None:
        raise JobTaskUnsupportedError(f"This site does not run models of the task {release.task}.", task=release.task)
    return spec


def _account_room(account_id: Any) -> None:
    """Raises JobTooManyOpenError. Comes after the reservation, whose write is what SQLite locks by."""
    most = settings.JOB_MAX_OPEN_PER_ACCOUNT
    if Job.objects.filter(account_id=account_id, state__in=OPEN_STATES).count() >= most:
        raise JobTooManyOpenError(
            f"This account has {most} jobs that have not ended, the most at once. Wait for one, then try again.",
            limit=most,
        )


def _call_reserve(usable: list[LicenceState], purchases: dict[int, str]) -> LicenceState:
    """Of the licences, best first, the first that has a call left and may have one more open job."""
    most = settings.JOB_MAX_OPEN_PER_LICENCE
    for licence in usable:
        number, purchase = licence.licence_id, purchases[licence.licence_id]
        calls = ledger.Calls(licence.calls, licence.used)
        if ledger.call_room(licence_id=number, purchase=purchase, calls=calls, most_open=most):
            return licence
    named = [(licence.licence_id, purchases[licence.licence_id], licence) for licence in usable]
    if any(
        ledger.call_is_left(licence_id=number, purchase=key, calls=ledger.Calls(licence.calls, licence.used))
        for number, key, licence in named
    ):
        raise JobTooManyOpenError(
            f"This licence has {most} jobs that have not ended, the most at once. Wait for one, then try again.",
            limit=most,
        )
    raise CallsExhaustedError(
        "Every call of this licence is used, or reserved by jobs that have not ended. Wait for them, or buy a licence.",
        licences=[str(licence.licence_id) for licence in usable],
    )
