"""Batches: many inputs of one model, accepted as a whole or not at all."""

from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from weighhouse.core.faults import fault_point

from chain.selectors import LicenceState
from marketplace.accounts.models import Account
from marketplace.inference import events, ledger
from marketplace.inference.batches import batch_get
from marketplace.inference.errors import (
    BatchInvalidError,
    BatchNotOpenError,
    BatchTooManyOpenError,
    JobCancelLimitError,
)
from marketplace.inference.isolation import isolation_of
from marketplace.inference.models import Batch, Isolation, Job, JobState
from marketplace.inference.receipts.issuing import Commitment, input_commit, receipts_open
from marketplace.inference.services.accepting import release_find, task_spec
from marketplace.inference.services.ending import queued_cancel, running_cancel
from marketplace.inference.services.idempotency import Asked, row_once
from marketplace.inference.services.inputs import inputs_accept_each
from marketplace.inference.services.keeping import payloads_write
from marketplace.inference.services.moves import job_enqueue
from marketplace.inference.services.placing import Offer, Placed, offer_find, offer_take
from marketplace.inference.services.telling import job_tell
from models_registry.models import Release
from models_registry.runtime.tasks import TaskSpec

# So many of a batch's jobs are announced to the workers at once when it is accepted; the sweep announces the rest.
_ANNOUNCED_AT_ONCE = 200


class BatchPart(NamedTuple):
    """What one job of a batch is asked, what commits to it in its receipt, and the calls that it costs."""

    asked: dict[str, Any]
    commitment: Commitment
    calls: int


def batch_create(  # noqa: PLR0913  one per field of the request
    *,
    account: Account,
    model_id: int,
    inputs: Any,
    parameters: Any = None,
    licence_id: int | None = None,
    release_digest: str | None = None,
    idempotency_key: str | None = None,
    store: bool = True,
    isolation: str = Isolation.SHARED,
) -> tuple[Batch, bool]:
    """Accept up to `BATCH_MAX_INPUTS` inputs and queue them as jobs. Returns the batch and whether it is new.

    1. The same idempotency key with the same request gives the same batch, with another request an error.
    2. Find the release; divide the inputs into jobs of as many as its task takes; check each.
    3. Ask the chain for licences that are valid now. Nothing is written before that. A batch is no trial.
    4. In one transaction: reserve the calls of all jobs at once, under one licence and in its rate, write batch, jobs,
       payloads, ledger entries and signed acceptances. Whoever looks, at any moment, finds the batch whole or not at
       all.

    Raises what `job_create` raises but for `trial.*`, BatchInvalidError, BatchTooManyOpenError,
    BatchTooValuableError.
    """
    request = {
        "batch": True,
        "model": str(model_id),
        "inputs": inputs,
        "parameters": parameters,
        "licence": None if licence_id is None else str(licence_id),
        "release": release_digest,
        "store": store,
        **({} if isolation == Isolation.SHARED else {"isolation": isolation}),
    }
    asked = Asked(account, idempotency_key, request)

    def make() -> Batch:
        requests, release = batch_check(
            account=account, model_id=model_id, release_digest=release_digest, inputs=inputs, parameters=parameters
        )
        offer = offer_find(account=account, model_id=model_id, licence_id=licence_id)
        batch = Batch(
            account=account,
            api_key=account.acting_key,
            model_id=model_id,
            release_digest=release.digest,
            task=release.task,
            input_count=len(inputs),
            job_count=len(requests),
            open_jobs=len(requests),
            store=store,
            isolation=isolation_of(model_id, isolation),
            idempotency_key=idempotency_key,
            request_mac=asked.mac,
        )
        chosen = {"release_is_pinned": release_digest is not None, "licence_is_named": licence_id is not None}
        _batch_store(batch, offer, requests, chosen)
        return batch

    return row_once(Batch.objects.all(), asked, make)


def batch_cancel(*, account: Account, batch_id: UUID) -> Batch:
    """Cancel what of a batch has not begun, and of what runs as much as the account may. The rest runs to its end.

    Cancelling again does what is left to do. Raises BatchNotFoundError, BatchNotOpenError.
    """
    batch = batch_get(account=account, batch_id=batch_id)
    if batch.ended_at is not None and batch.cancelled_at is None:
        raise BatchNotOpenError("The batch has ended already: nothing is left to cancel.")
    # First of all: should this process die, the sweep cancels what waits.
    Batch.objects.filter(pk=batch.pk, cancelled_at=None, ended_at=None).update(cancelled_at=timezone.now())
    fault_point("batch.cancelling")
    for job in Job.objects.filter(batch=batch, state=JobState.QUEUED):
        queued_cancel(job)
    try:
        for job in Job.objects.filter(batch=batch, state=JobState.RUNNING):
            running_cancel(job)
    except JobCancelLimitError:
        pass
    batch.refresh_from_db()
    return batch


def batch_check(
    *, account: Account, model_id: int, release_digest: str | None, inputs: Any, parameters: Any
) -> tuple[list[BatchPart], Release]:
    """What each job of a batch is asked, in order, and the release that takes it. Nothing is signed or stored.

    Raises `model.not_found`, `release.not_found`, `job.task_unsupported`, `batch.invalid`, `input.invalid`,
    `input_upload.not_found`.
    """
    release = release_find(model_id, release_digest)
    spec = task_spec(release)
    return _parts(account, spec, inputs, spec.validate_parameters(parameters)), release


def batch_take(*, account: Account, model_id: int, offer: Offer, wanted: int, jobs: int) -> Placed:
    """Reserve the calls of all jobs of a batch under one licence, as `offer_take` does and inside its transaction.

    Raises what that raises, BatchTooManyOpenError.
    """
    placed = offer_take(account=account, model_id=model_id, offer=offer, wanted=wanted, jobs=jobs)
    _batch_room(account)
    return placed


def batch_size_check(inputs: Any) -> None:
    """Raises BatchInvalidError where these are no list of as many inputs as a batch may have."""
    most = settings.BATCH_MAX_INPUTS
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= most:
        raise BatchInvalidError(
            f"The inputs of a batch are a list of 1 to {most}. Send more in further batches.", max_inputs=most
        )


def _parts(account: Account, spec: TaskSpec, inputs: Any, parameters: dict[str, Any]) -> list[BatchPart]:
    batch_size_check(inputs)
    size = spec.most_inputs(parameters)
    parts = [
        inputs_accept_each(account=account, spec=spec, inputs=inputs[start : start + size], offset=start)
        for start in range(0, len(inputs), size)
    ]
    return [_part(part, parameters) for part in parts]


def _part(inputs: list[Any], parameters: dict[str, Any]) -> BatchPart:
    asked = {"inputs": inputs, "parameters": parameters}
    return BatchPart(asked, input_commit(asked), ledger.job_calls(inputs, parameters))


def _batch_store(batch: Batch, offer: Offer, requests: list[BatchPart], chosen: dict[str, bool]) -> None:
    """Reserve the calls of every job under one licence, and write all of it, or nothing."""
    account, wanted = batch.account, sum(request.calls for request in requests)
    with transaction.atomic():
        placed = batch_take(account=account, model_id=batch.model_id, offer=offer, wanted=wanted, jobs=len(requests))
        # It was offered no trial.
        licence = cast(LicenceState, placed.licence)
        batch.licence_id = licence.licence_id
        batch.save(force_insert=True)
        jobs = _jobs(batch, requests, chosen, block=(licence.block_number, licence.block_hash))
        Job.objects.bulk_create(jobs)
        fault_point("batch.half_written")
        for job, request in zip(jobs, requests, strict=True):
            ledger.call_enter(job=job, calls=request.calls, **placed.entry)
        payloads_write([(job, request.asked) for job, request in zip(jobs, requests, strict=True)])
        receipts_open((job, request.commitment) for job, request in zip(jobs, requests, strict=True))
        for job in jobs:
            job_tell(job.pk, events.STATE, state=JobState.QUEUED, attempt=0, error=None)
        transaction.on_commit(lambda: _announce(jobs))


def _jobs(batch: Batch, requests: list[BatchPart], chosen: dict[str, bool], *, block: tuple[int, str]) -> list[Job]:
    now, position, jobs = timezone.now(), 0, []
    for number, request in enumerate(requests):
        count = len(request.asked["inputs"])
        jobs.append(
            Job(
                account=batch.account,
                api_key=batch.api_key,
                batch=batch,
                batch_position=position,
                input_count=count,
                store=batch.store,
                isolation=batch.isolation,
                model_id=batch.model_id,
                licence_id=batch.licence_id,
                release_digest=batch.release_digest,
                task=batch.task,
                checked_block_number=block[0],
                checked_block_hash=block[1],
                start_before=now + timedelta(seconds=settings.BATCH_QUEUE_TTL_S),
                request_mac=batch.request_mac,
                **chosen,
                # In lists, the order of the inputs.
                created_at=now + timedelta(microseconds=number),
                # The sweep announces what was not announced: at once, that is.
                enqueued_at=now if number < _ANNOUNCED_AT_ONCE else now - timedelta(hours=1),
            )
        )
        position += count
    return jobs


def _announce(jobs: list[Job]) -> None:
    fault_point("batch.committed")
    for job in jobs[:_ANNOUNCED_AT_ONCE]:
        job_enqueue(job_id=job.pk)


def _batch_room(account: Account) -> None:
    most = settings.BATCH_MAX_OPEN_PER_ACCOUNT
    if Batch.objects.filter(account=account, ended_at=None).count() >= most:
        raise BatchTooManyOpenError(
            f"This account has {most} batches that have not ended, the most at once. Wait for one, then try again.",
            limit=most,
        )
