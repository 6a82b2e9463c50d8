"""Accepting a request: the release, the licence, the call, the row."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from weighhouse.core.faults import fault_point

from chain.prepared import PreparedInsert
from marketplace.accounts.models import Account
from marketplace.inference import events, ledger
from marketplace.inference.errors import JobTaskUnsupportedError
from marketplace.inference.isolation import isolation_of
from marketplace.inference.models import Isolation, Job, JobState
from marketplace.inference.receipts.issuing import Commitment, input_commit, receipt_open
from marketplace.inference.services.idempotency import Asked, row_once
from marketplace.inference.services.inputs import inputs_accept
from marketplace.inference.services.keeping import payloads_write
from marketplace.inference.services.moves import job_enqueue
from marketplace.inference.services.placing import Offer, offer_find, offer_take
from marketplace.inference.services.telling import job_tell
from marketplace.inference.trials import TrialWish
from models_registry import selectors as registry
from models_registry.models import Release
from models_registry.runtime.tasks import TASKS, TaskSpec


def job_create(  # noqa: PLR0913  one per field of the request
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
    trial: TrialWish | None = None,
    again_of: UUID | None = None,
) -> tuple[Job, bool]:
    """Accept a request and queue it. Returns the job and whether it is new.

    With `store` false inputs go when the job ends, and outputs when they were handed out once or minutes later. A
    dedicated job shares its runner with jobs of the same licence alone.

    1. The same idempotency key with the same request gives the same job, with another request an error. What is asked
       `again_of` a job is the same request as long as it is that job's.
    2. Find the release: the pinned one, or the newest that is listed. Check inputs and parameters by its task.
    3. Ask the chain for a licence that is valid now, and find its purchase; or find that a trial may be had
       (`placing.offer_find`). Nothing is written before that.
    4. In one transaction: reserve calls of a licence that has them, or of the trials' budgets, write job, encrypted
       payload and ledger entry, and what its receipt will say of the inputs. Then queue it.

    An API key (`account.acting_key`) holds the request to its licence and cap. Without `trial` there is none.

    Raises `model.not_found`, `release.not_found`, `input.invalid`, `licence.*`, `trial.*`, `key.*`, `chain.*`,
    `job.idempotency_*`, `job.too_many_open`, `job.queue_full`.
    """
    request: dict[str, Any] = {
        "model": str(model_id),
        "inputs": inputs,
        "parameters": parameters,
        "licence": None if licence_id is None else str(licence_id),
        "release": release_digest,
        **({} if store else {"store": False}),
        **({} if isolation == Isolation.SHARED else {"isolation": isolation}),
        **({} if trial is None or trial.asked is None else {"trial": trial.asked}),
    }
    asked = asked_again(account, idempotency_key, again_of) if again_of else Asked(account, idempotency_key, request)

    def make() -> Job:
        checked, release, commitment = request_check(
            account=account, model_id=model_id, release_digest=release_digest, inputs=inputs, parameters=parameters
        )
        offer = offer_find(account=account, model_id=model_id, licence_id=licence_id, trial=trial, isolation=isolation)
        job = Job(
            account=account,
            api_key=account.acting_key,
            model_id=model_id,
            release_digest=release.digest,
            release_is_pinned=release_digest is not None,
            licence_is_named=licence_id is not None,
            task=release.task,
            input_count=len(checked["inputs"]),
            store=store,
            isolation=isolation_of(model_id, isolation),
            start_before=timezone.now() + timedelta(seconds=settings.JOB_QUEUE_TTL_S),
            idempotency_key=idempotency_key,
            request_mac=asked.mac,
        )
        _job_store(job, offer, checked, commitment)
        return job

    return row_once(Job.objects.select_related("call"), asked, make)


def asked_again(account: Account, idempotency_key: str | None, job_id: UUID) -> Asked:
    """How a repetition of a job is known by its key, also when the job's inputs are gone."""
    return Asked(account, idempotency_key, {"again": str(job_id)})


def request_check(
    *, account: Account, model_id: int, release_digest: str | None, inputs: Any, parameters: Any
) -> tuple[dict[str, Any], Release, Commitment]:
    """Inputs and parameters in their final form, the release that takes them, and what commits to them in a receipt.

    What no statement can be made of is refused here, so that a quote refuses it too. Nothing is signed or stored.
    Raises `model.not_found`, `release.not_found`, `job.task_unsupported`, `input.invalid`, `input_upload.not_found`.
    """
    release = release_find(model_id, release_digest)
    spec = task_spec(release)
    accepted = inputs_accept(account=account, spec=spec, inputs=inputs)
    knobs = spec.validate_parameters(parameters)
    spec.check_together(accepted, knobs)
    request = {"inputs": accepted, "parameters": knobs}
    return request, release, input_commit(request)


def _job_store(job: Job, offer: Offer, request: dict[str, Any], commitment: Commitment) -> None:
    """Reserve calls of the first licence that has them, and write the job with all that belongs to it, or nothing."""
    wanted = ledger.job_calls(request["inputs"], request["parameters"])
    with transaction.atomic():
        placed = offer_take(account=job.account, model_id=job.model_id, offer=offer, wanted=wanted)
        checked = placed.licence or offer
        job.licence_id, job.is_trial = placed.licence and placed.licence.licence_id, offer.is_trial
        job.checked_block_number, job.checked_block_hash = checked.block_number, checked.block_hash
        _job_insert(job)
        fault_point("job.half_written")
        ledger.call_enter(job=job, calls=wanted, **placed.entry)
        payloads_write([(job, request)])
        receipt_open(job=job, commitment=commitment)
        job_tell(job.pk, events.STATE, state=JobState.QUEUED, attempt=0, error=None)
        transaction.on_commit(lambda: _announce(job))


def _announce(job: Job) -> None:
    fault_point("job.committed")
    job_enqueue(job_id=job.pk)


_job_insert = PreparedInsert(Job)


def release_find(model_id: int, digest: str | None) -> Release:
    """The pinned release of the model, or the newest. Raises `model.not_found`, `release.not_found`."""
    registry.model_owner(model_id)
    if digest is None:
        return registry.release_latest(model_id)
    return registry.release_of_model(model_id, digest.lower())


def task_spec(release: Release) -> TaskSpec:
    """Raises JobTaskUnsupportedError."""
    spec = TASKS.get(release.task)
    if spec is None:
        raise JobTaskUnsupportedError(f"This site does not run models of the task {release.task}.", task=release.task)
    return spec
