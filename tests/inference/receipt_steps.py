"""What tests of receipts do with a job: get its document, check it on the chain, end it without a result."""

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from weighhouse.verify import ChainReader, Expected, Report, verify

from marketplace.accounts.models import Account
from marketplace.inference import services
from marketplace.inference.models import Job
from marketplace.inference.receipts import selectors
from marketplace.inference.receipts.issuing import receipt_issue
from models_registry.runtime.errors import InputError


def document_of(job: Job) -> bytes:
    assert receipt_issue(job_id=job.pk)
    return selectors.receipt_statement(selectors.receipt_get(job)).to_bytes()


def message_of(job: Job) -> dict[str, str]:
    return json.loads(document_of(job))["message"]


def on_chain(document: bytes, **expected: Any) -> Report:
    with ChainReader(settings.RPC_URLS[0]) as chain:
        return verify(document, Expected(**expected), chain=chain)


def keys_listed() -> dict[str, Any]:
    return {"results": selectors.worker_keys()}


def end_failed(job: Job, account: Account) -> None:
    services.job_fail(job=services.job_claim(job_id=job.pk), error=InputError("The input is blank.", position=0))


def end_cancelled(job: Job, account: Account) -> None:
    services.job_cancel(account=account, job_id=job.pk)


def end_expired(job: Job, account: Account) -> None:
    Job.objects.filter(pk=job.pk).update(start_before=timezone.now())
    services.jobs_sweep()


def end_lost(job: Job, account: Account) -> None:
    services.job_claim(job_id=job.pk)
    Job.objects.filter(pk=job.pk).update(attempts=3, lease_until=timezone.now() - timedelta(seconds=1))
    services.jobs_sweep()


# How a job ends without a result, with its state and the code of its error.
ENDS = [
    (end_failed, "failed", "input.invalid"),
    (end_cancelled, "cancelled", "job.cancelled"),
    (end_expired, "expired", "job.expired"),
    (end_lost, "failed", "job.worker_lost"),
]
