"""Reads about jobs and the ledger."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from chain.prepared import Prepared
from marketplace.accounts.models import Account
from marketplace.inference import ledger
from marketplace.inference.errors import JobNotFoundError, JobPayloadDeletedError
from marketplace.inference.models import Batch, Job, JobPayload, JobState, LicenceUse
from marketplace.inference.payloads import payload_decrypt
from marketplace.inference.rates import bucket_state, licence_rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobOutputs:
    """What a job returned: one entry of `outputs` per input, and `usage` in tokens."""

    outputs: list[Any]
    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallsUsed:
    """Calls of one licence on this site."""

    used: int
    reserved: int

    def left(self, calls: int) -> int | None:
        """Calls left of the `calls` that were bought; `None` where they are not counted (0)."""
        return max(calls - self.used - self.reserved, 0) if calls else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a list shows; what is not given does not matter."""

    model_id: int | None = None
    licence_id: int | None = None
    state: str | None = None
    task: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    batch_id: UUID | None = None

    def conditions(self) -> dict[str, Any]:
        named = {
            "model_id": self.model_id,
            "licence_id": self.licence_id,
            "state": self.state,
            "task": self.task,
            "created_at__gt": self.created_after,
            "created_at__lt": self.created_before,
            "batch_id": self.batch_id,
        }
        return {name: value for name, value in named.items() if value is not None}


def job_list(account: Account, chosen: JobFilter | None = None) -> QuerySet[Job]:
    """The account's jobs, newest first. Whoever comes by a key that is bound to a licence sees the key's own alone."""
    conditions = chosen.conditions() if chosen else {}
    return _shown(Job.objects.filter(account=account, **account.rows_seen, **conditions))


def _shown(jobs: QuerySet[Job]) -> QuerySet[Job]:
    # Until when a payload is kept is shown, and not the payload.
    return jobs.select_related("call", "payload").defer("payload__request", "payload__outputs")


@Prepared
def _of_account(account_id: Any, job_id: Any) -> QuerySet[Job]:
    return _shown(Job.objects.filter(account_id=account_id, pk=job_id))


def row_is_seen(row: Job | Batch, account: Account) -> bool:
    """Whether whoever acts for the account may see this job or batch of it."""
    key = account.rows_seen.get("api_key")
    return key is None or row.api_key_id == key.pk


def job_get(*, account: Account, job_id: UUID) -> Job:
    """One of the account's jobs. Raises JobNotFoundError, for others' jobs too."""
    job = _of_account.first(account_id=account.pk, job_id=job_id)
    if job is None or not row_is_seen(job, account):
        raise JobNotFoundError("This account has no such job.")
    return job


def rate_limit_of(job: Job) -> dict[str, Any] | None:
    """The token bucket of the job's licence, as `RateLimit` headers tell it; None of a trial."""
    entry = getattr(job, "call", None)
    if entry is None or job.licence_id is None:
        return None
    use = ledger.use_of_purchase(licence_id=entry.licence_id, purchase=entry.purchase)
    if use is None:
        return None
    # A licence's id begins with its plan's.
    return bucket_state(use, licence_rate(job.licence_id >> 32))


def job_outputs(job: Job) -> JobOutputs | None:
    """What the job returned; `None` where it did not succeed or its payload is gone."""
    if job.state != JobState.SUCCEEDED:
        return None
    outputs = _outputs.first(job_id=job.pk)
    if outputs is None:
        return None
    value = _readable(job, outputs)
    return None if value is None else JobOutputs(outputs=value["outputs"], usage=value["usage"])


def job_request(job: Job) -> dict[str, Any] | None:
    """The job's `inputs` and `parameters`; `None` where its payload is gone."""
    request = _request.first(job_id=job.pk)
    return _readable(job, request) if request else None


@Prepared
def _outputs(job_id: Any) -> QuerySet[JobPayload, bytes | memoryview | None]:
    return JobPayload.objects.filter(job_id=job_id).values_list("outputs", flat=True)


@Prepared
def _request(job_id: Any) -> QuerySet[JobPayload, bytes | memoryview]:
    return JobPayload.objects.filter(job_id=job_id).values_list("request", flat=True)


def calls_used(purchases: Mapping[int, str]) -> dict[int, CallsUsed]:
    """Use of each licence that was ever run here. `purchases` has the transaction that bought each."""
    rows = LicenceUse.objects.filter(licence_id__in=purchases)
    return {
        row.licence_id: CallsUsed(row.used, row.reserved) for row in rows if row.purchase == purchases[row.licence_id]
    }


def _readable(job: Job, token: bytes | memoryview) -> Any:
    try:
        return payload_decrypt(job.pk, token)
    except JobPayloadDeletedError as error:
        # To the owner it is gone; the operator may still find the key.
        logger.error("The payload of job %s: %s", job.pk, error.message)
        return None
