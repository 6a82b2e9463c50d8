"""The same request once more."""

from uuid import UUID

from marketplace.accounts.models import Account
from marketplace.inference.errors import JobNotFinishedError, JobPayloadDeletedError
from marketplace.inference.models import Job
from marketplace.inference.selectors import job_get, job_request
from marketplace.inference.services.accepting import job_create
from marketplace.inference.trials import TrialWish


def job_again(*, account: Account, job_id: UUID, client: str, idempotency_key: str | None = None) -> tuple[Job, bool]:
    """A new job with the inputs and parameters of one that has ended, of the newest release, under a licence of today.

    What was a trial may be one again, of the `client` at this address, where there is no licence by now. Returns the
    job and whether it is new. Raises JobNotFoundError, JobNotFinishedError, JobPayloadDeletedError and what
    `job_create` raises.
    """
    job = job_get(account=account, job_id=job_id)
    if job.is_open:
        raise JobNotFinishedError("The job has not ended, and may still succeed. Cancel it first.", state=job.state)
    request = job_request(job)
    if request is None:
        raise JobPayloadDeletedError("The inputs of this job are not kept any more. Send them in a new job.")
    return job_create(
        account=account,
        model_id=job.model_id,
        inputs=request["inputs"],
        parameters=request["parameters"],
        idempotency_key=idempotency_key,
        store=job.store,
        trial=TrialWish(client) if job.is_trial else None,
    )
