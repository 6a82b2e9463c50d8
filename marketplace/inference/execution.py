"""One attempt of a worker at one job."""

import logging
import threading
from types import TracebackType
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain import entitlements
from chain import selectors as chain
from chain.gateway.errors import ChainError
from marketplace.inference import services
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.models import Job
from marketplace.inference.selectors import job_request
from marketplace.licences.services import licence_refusal
from models_registry import selectors as registry
from models_registry.errors import BlockMissingError, StoreUnavailableError
from models_registry.runners import runner_pool
from models_registry.runtime.errors import RunnerBusyError, RunnerError
from models_registry.runtime.specs import RunnerSpec, RunResult
from models_registry.storage.cache import release_fetch

logger = logging.getLogger(__name__)

# A dead node, a full machine or missing blocks use up no attempt: the job waits until no worker may start it any more.
_NOT_THE_JOBS_FAULT = (ChainError, RunnerBusyError, StoreUnavailableError, BlockMissingError)


class AcceptedAt(NamedTuple):
    """The block of a check that still stands."""

    block_number: int
    block_hash: str


class _UnexpectedError(WeighhouseError):
    """A defect of this site. Its details are in the operator's log."""


def job_run(*, job_id: UUID) -> bool:
    """Run a queued job once. Returns whether a result was stored.

    1. Claim the job: one conditional UPDATE, which also takes a lease. Somebody else's job is left alone.
    2. Keep the lease while working; a worker that dies stops renewing it, and `jobs_sweep` queues the job again.
    3. Rely on the licence's check at acceptance while its block is the newest; from the next block on ask again.
    4. Fetch the release through the verified cache and run it in the sandbox.
    5. Store the result and count the call in one transaction, only while the lease still holds.
    What fails for good ends the job and gives the call back; what may pass puts the job back into the queue.
    """
    job = services.job_claim(job_id=job_id)
    if job is None:
        return False
    try:
        with LeaseKeeper(job):
            licence = _licence_check(job)
            result = _result(job)
            fault_point("worker.result_ready")
            return services.job_succeed(job=job, result=result, licence=licence)
    except WeighhouseError as error:
        _attempt_failed(job, error)
    except Exception:
        # Whatever it was, the job must not stay open; the log has the trace, the buyer a sentence.
        logger.exception("Job %s met a defect", job.pk)
        _attempt_failed(job, _UnexpectedError("The site failed at this job. No call was counted. Tell the operator."))
    return False


def _licence_check(job: Job) -> services.CheckedAt:
    """Where the licence was last found valid: at acceptance, if that block is the newest still, or else now.

    Older blocks would have to be shown to be canonical still, which costs more than asking about the licence, whose
    answer is shared by all processes. Raises `licence.*`, and what `chain.entitlements` raises.
    """
    indexed_to = chain.index_block()
    block = entitlements.entitlement_block(not_before=indexed_to)
    if job.checked_block_hash == block.hash:
        return AcceptedAt(block.number, block.hash)
    state = entitlements.licence_states([job.licence_id], not_before=indexed_to)[job.licence_id]
    refusal = licence_refusal(state, holder=job.account.address, model_id=job.model_id)
    if refusal is not None:
        raise refusal
    return state


def _result(job: Job) -> RunResult:
    request = job_request(job)
    if request is None:
        raise JobPayloadDeletedError("The inputs of this job were deleted before it ran.")
    release = registry.release_of_model(job.model_id, job.release_digest)
    path = release_fetch(release.root_cid)
    fault_point("worker.during_job")
    dtype = release.manifest.get("runtime", {}).get("dtype", "float32")
    spec = RunnerSpec(
        release_path=path,
        digest=release.digest,
        task=job.task,
        dtype=dtype,
        dedicated_to=f"licence {job.licence_id}" if settings.RUNNER_DEDICATED else "",
    )
    return runner_pool().run(
        spec, request["inputs"], request["parameters"], settings.JOB_DEADLINE_S, buyer=job.account.address
    )


def _attempt_failed(job: Job, error: WeighhouseError) -> None:
    if isinstance(error, RunnerError) and error.log:
        logger.warning("Job %s: %s; the runner's log ends: %s", job.pk, error.code, error.log[-2000:])
    counts = not isinstance(error, _NOT_THE_JOBS_FAULT)
    if error.retryable and (not counts or job.attempts < settings.JOB_MAX_ATTEMPTS):
        services.job_retry(job=job, error=error, counts=counts)
    else:
        services.job_fail(job=job, error=error)


class LeaseKeeper:
    """Renews a job's lease from a thread of its own while the block runs. `is_lost` says that it failed to."""

    def __init__(self, job: Job) -> None:
        self.is_lost = False
        self._job = job
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.pk}", daemon=True)

    def __enter__(self) -> "LeaseKeeper":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while not self.is_lost and not self._done.wait(settings.JOB_LEASE_S / 3):
                self._renew()
        finally:
            connection.close()

    def _renew(self) -> None:
        try:
            self.is_lost = not services.job_lease_renew(job=self._job)
        except DatabaseError as error:
            # The next beat may succeed in time; if not, the lease passes and the result is not stored.
            logger.warning("The lease of job %s could not be renewed: %s", self._job.pk, error)
