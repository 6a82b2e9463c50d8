"""One attempt of a worker at one job."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import OperationalError, connection
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point

from chain import entitlements
from chain import selectors as chain
from chain.gateway.errors import ChainError
from marketplace.inference import events, services
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.isolation import runner_owner
from marketplace.inference.models import CallEntry, Job
from marketplace.inference.progress import TextTeller
from marketplace.inference.selectors import job_request
from marketplace.inference.trials import cost_words, trial_check
from marketplace.inference.uploads import inputs_resolve
from marketplace.licences.errors import LicenceReorgedError
from marketplace.licences.services import licence_purchases, licence_refusal
from models_registry import selectors as registry
from models_registry.errors import BlockMissingError, StoreUnavailableError
from models_registry.runners import runner_pool
from models_registry.runtime.errors import RunnerBusyError, RunnerError, SandboxUnavailable
from models_registry.runtime.specs import RunnerSpec, RunResult
from models_registry.runtime.tasks import TASKS
from models_registry.storage.cache import release_fetch

logger = logging.getLogger(__name__)

# A dead node, a full machine or missing blocks use up no attempt: the job waits until no worker may start it any more.
_NOT_THE_JOBS_FAULT = (ChainError, RunnerBusyError, SandboxUnavailable, StoreUnavailableError, BlockMissingError)

# Jobs that one message may lead to in its thread.
MOST_IN_TURN = 16
# How often a worker looks whether the job that it runs is still wanted.
_LOOK_S = 0.5
# Longer than a broker is waited for.
_TOLD_WAIT_S = 5.0


class AcceptedAt(NamedTuple):
    """The block of a check that still stands."""

    block_number: int
    block_hash: str


class _UnexpectedError(WeighhouseError):
    """A defect of this site. Its details are in the operator's log."""


class _DatabaseBusyError(WeighhouseError):
    """The database refused a step that it may take the next time: a deadlock, a lock that was held too long."""

    retryable = True


def jobs_run(*, may_go_on: Callable[[], bool]) -> None:
    """Run the job whose turn it is; then, as long as one was passed over here for want of a thread, the next.

    A ticket for that one would go to any worker, and one that has no room for its account either would spend it. After
    `MOST_IN_TURN` jobs, or where it may not go on, a ticket does go: other queues wait for this thread too.
    """
    ended: Job | None = None  # whose thread is owed to one that was passed over
    try:
        for _ in range(MOST_IN_TURN):
            job = services.job_claim_next()
            if job is None:
                ended = None
                return
            if ended is not None and services.job_has_room_beside(job=job):
                # More of its account may run here: a ticket for them was spent elsewhere.
                services.job_enqueue(job_id=job.pk)
            try:
                _attempt(job)
            finally:
                ended = job if services.job_let_go(job=job) else None
            if ended is None or not may_go_on():
                return
    finally:
        if ended is not None:
            services.job_enqueue(job_id=ended.pk)


def job_run(*, job_id: UUID) -> bool:
    """Run this queued job once. Returns whether a result was stored.

    1. Claim the job: one conditional UPDATE, which also takes a lease. Somebody else's job is left alone.
    2. Keep the lease while working; a worker that dies stops renewing it, and `jobs_sweep` queues the job again.
    3. Rely on the licence's check at acceptance while its block is the newest; from the next block on ask again.
    4. Fetch the release through the verified cache and run it in the sandbox. Tell the text that it generates as it
       comes (`progress`); stop where the job was cancelled or the lease is lost.
    5. Store the result and count the call in one transaction, only while the lease still holds.
    What fails for good ends the job and gives the call back; what may pass puts the job back into the queue.
    """
    job = services.job_claim(job_id=job_id)
    return job is not None and _attempt(job)


def _attempt(job: Job) -> bool:
    try:
        with LeaseKeeper(job) as keeper:
            licence = _licence_check(job)
            result = _result(job, keeper)
            keeper.told_wait()
            fault_point("worker.result_ready")
            return services.job_succeed(job=job, result=result, licence=licence)
    except WeighhouseError as error:
        _attempt_failed(job, error)
    except OperationalError as error:
        logger.warning("Job %s was held up by the database: %s", job.pk, error)
        _attempt_failed(job, _DatabaseBusyError("The site's database was too busy to store the result."))
    except Exception:
        # Whatever it was, the job must not stay open; the log has the trace, the buyer a sentence.
        logger.exception("Job %s met a defect", job.pk)
        _attempt_failed(job, _UnexpectedError(f"The site failed at this job. {cost_words(job)} Tell the operator."))
    return False


def _licence_check(job: Job) -> services.CheckedAt:
    """Where the licence was last found valid: at acceptance, if that block is the newest still, or else now.

    Older blocks would have to be shown to be canonical still, which costs more than asking about the licence, whose
    answer is shared by all processes. Raises `licence.*`, and what `chain.entitlements` raises.

    A re-org can give the licence's id to another purchase, of the same holder too. The calls are reserved of the one
    that the job was accepted under, so that the job ends with `licence.reorged`.

    A trial has no licence: its model must not be suspended. Raises `trial.unavailable`.
    """
    indexed_to = chain.index_block()
    block = entitlements.entitlement_block(not_before=indexed_to)
    if job.checked_block_hash == block.hash:
        return AcceptedAt(block.number, block.hash)
    if job.licence_id is None:
        checked = trial_check(job.model_id)
        return AcceptedAt(checked.number, checked.hash)
    state = entitlements.licence_states([job.licence_id], not_before=indexed_to)[job.licence_id]
    refusal = licence_refusal(state, holder=job.account.address, model_id=job.model_id)
    if refusal is not None:
        raise refusal
    purchase = CallEntry.objects.filter(job_id=job.pk).values_list("purchase", flat=True).first()
    if purchase and licence_purchases([state]).get(job.licence_id) != purchase:
        raise LicenceReorgedError(
            f"A re-organisation of the chain removed the purchase of licence {job.licence_id} under which this job was "
            "accepted, and another purchase got its number. Send the job again.",
            licence=str(job.licence_id),
            tx_hash=purchase,
        )
    return state


def _result(job: Job, keeper: "LeaseKeeper") -> RunResult:
    request = job_request(job)
    if request is None:
        raise JobPayloadDeletedError("The inputs of this job were deleted before it ran.")
    spec = _spec(job)
    fault_point("worker.during_job")
    # What an upload holds is checked by the pool, as all inputs are.
    inputs = inputs_resolve(job, request["inputs"])
    tell, cancelled = TextTeller(job, after=keeper.told_wait), keeper.lost
    # What was told is had, whatever becomes of the job: where too many failed after that, text comes with the result.
    streams = spec.task in TASKS and TASKS[spec.task].streams
    may_tell = streams and services.text_may_be_told(account_id=job.account_id)
    try:
        return runner_pool().run(
            spec,
            inputs,
            request["parameters"],
            settings.JOB_DEADLINE_S,
            buyer=job.account.address,
            on_text=tell if may_tell else None,
            cancelled=cancelled,
        )
    except WeighhouseError as error:
        if tell.has_told:
            error.data["text_told"] = True
        raise
    finally:
        tell.close()
        if cancelled.is_set() and not job.store:
            # The payload went when the job was cancelled; text that was told since then goes too.
            events.job_events_delete([job.pk])


def _spec(job: Job) -> RunnerSpec:
    """The job's release, fetched and verified, and whose alone its runner is."""
    release = registry.release_of_model(job.model_id, job.release_digest)
    return RunnerSpec(
        release_path=release_fetch(release.root_cid),
        digest=release.digest,
        task=job.task,
        dtype=release.manifest.get("runtime", {}).get("dtype", "float32"),
        dedicated_to=runner_owner(job),
    )


def _attempt_failed(job: Job, error: WeighhouseError) -> None:
    if isinstance(error, SandboxUnavailable):
        logger.error("Job %s: %s [%s]", job.pk, error.message, error.code)
        # What is wrong with the machine is the operator's to know.
        error = SandboxUnavailable("The worker's machine could not isolate the model. The job waits for one that can.")
    if isinstance(error, RunnerError) and error.log:
        logger.warning("Job %s: %s; the runner's log ends: %s", job.pk, error.code, error.log[-2000:])
    counts = not isinstance(error, _NOT_THE_JOBS_FAULT)
    # A worker begins with a sandbox that works: what it lacks now it may have again, or another worker has.
    may_pass = error.retryable or isinstance(error, SandboxUnavailable)
    if may_pass and (not counts or job.attempts < settings.JOB_MAX_ATTEMPTS):
        services.job_retry(job=job, error=error, counts=counts)
    else:
        services.job_fail(job=job, error=error)


class LeaseKeeper:
    """Tells that a job runs and renews its lease, from a thread of its own while the block runs.

    `lost` is set where the job is no longer this worker's: it was cancelled, or another worker has it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.lost = threading.Event()
        self._done, self._told = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.pk}", daemon=True)

    def __enter__(self) -> "LeaseKeeper":
        try:
            self._thread.start()
        except RuntimeError as error:
            raise RunnerBusyError("This worker can start no thread now. Try again.") from error
        return self

    def told_wait(self) -> None:
        """Until it was told that the job runs: what is told from here on comes after that."""
        self._told.wait(_TOLD_WAIT_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            try:
                services.job_running_tell(self._job)
            except Exception:
                # Whoever follows the job hears of its end all the same; the lease matters more.
                logger.exception("It could not be told that job %s runs", self._job.pk)
            self._told.set()
            renew_at = time.monotonic() + settings.JOB_LEASE_S / 3
            while not self.lost.is_set() and not self._done.wait(min(_LOOK_S, settings.JOB_LEASE_S / 3)):
                if time.monotonic() < renew_at:
                    self._try(services.job_is_held)
                    continue
                self._try(services.job_lease_renew)
                renew_at = time.monotonic() + settings.JOB_LEASE_S / 3
        finally:
            connection.close()

    def _try(self, step: Callable[..., bool]) -> None:
        try:
            if not step(job=self._job):
                self.lost.set()
        except DatabaseError as error:
            # The next look may succeed in time; if not, the lease passes and the result is not stored.
            logger.warning("The lease of job %s could not be renewed: %s", self._job.pk, error)
