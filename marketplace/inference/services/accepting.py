"""Accepting a request: the release, the licence, the call, the row."""

import re
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from chain.selectors import LicenceState
from marketplace.accounts.models import Account
from marketplace.inference import ledger
from marketplace.inference.errors import (
    IdempotencyConflictError,
    IdempotencyKeyInvalidError,
    JobTaskUnsupportedError,
    JobTooManyOpenError,
)
from marketplace.inference.models import OPEN_STATES, Job, JobPayload
from marketplace.inference.payloads import payload_encrypt, request_mac
from marketplace.inference.receipts.issuing import input_commit, receipt_open
from marketplace.inference.services.moves import account_lock, job_enqueue
from marketplace.licences.errors import CallsExhaustedError
from marketplace.licences.services import licence_purchases, licences_usable
from models_registry import selectors as registry
from models_registry.models import Release
from models_registry.runtime.tasks import TASKS, TaskSpec

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


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
       and ledger entry, and what its receipt will say of the inputs. Then queue it.

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
    commitment = input_commit(request)
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
        with transaction.atomic():
            _job_store(job, [state for state in usable if state.licence_id in purchases], purchases, request)
            receipt_open(job=job, commitment=commitment)
    except IntegrityError:
        # Somebody with the same key was faster; anything else that collides is a defect.
        known = _job_of_key(account, idempotency_key, mac)
        if known is None:
            raise
        return known, False
    return job, True


def _job_store(job: Job, usable: list[LicenceState], purchases: dict[int, str], request: dict[str, Any]) -> None:
    """Reserve a call of the first licence that has one, and write the job with all that belongs to it, or nothing."""
    with transaction.atomic():
        account_lock(job.account_id)
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
