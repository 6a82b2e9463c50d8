"""The same request once more."""

from uuid import UUID

from marketplace.accounts.models import Account
from marketplace.inference.errors import JobNotFinishedError, JobPayloadDeletedError
from marketplace.inference.models import Isolation, Job
from marketplace.inference.selectors import job_get, job_request
from marketplace.inference.services.accepting import asked_again, job_create
from marketplace.inference.services.idempotency import row_of_key
from marketplace.inference.trials import TrialWish


def job_again(*, account: Account, job_id: UUID, client: str, idempotency_key: str | None = None) -> tuple[Job, bool]:
    """A new job with the inputs and parameters of one that has ended, as it was asked for.

    A release that was pinned is run again, and a licence that was named; else the newest release, under a licence of
    today. What was a trial may be one again, of the `client` at this address, where there is no licence by now. The
    same idempotency key gives the same job, also once the inputs are gone. Returns the job and whether it is new.
    Raises JobNotFoundError, JobNotFinishedError, JobPayloadDeletedError and what `job_create` raises.
    """
    job = job_get(account=account, job_id=job_id)
    if job.is_open:
        raise JobNotFinishedError("The job has not ended, and may still succeed. Cancel it first.", state=job.state)
    known = row_of_key(Job.objects.select_related("call"), asked_again(account, idempotency_key, job_id))
    if known is not None:
        return known, False
    request = job_request(job)
    if request is None:
        raise JobPayloadDeletedError("The inputs of this job are not kept any more. Send them in a new job.")
    return job_create(
        account=account,
        model_id=job.model_id,
        inputs=request["inputs"],
        parameters=request["parameters"],
        licence_id=job.licence_id if job.licence_is_named else None,
        release_digest=job.release_digest if job.release_is_pinned else None,
        idempotency_key=idempotency_key,
        store=job.store,
        # A trial has a runner of its own only where it must.
        isolation=Isolation.SHARED if job.is_trial else job.isolation,
        trial=TrialWish(client) if job.is_trial else None,
        again_of=job.pk,
    )
