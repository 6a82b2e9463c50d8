"""Signing acceptances and receipts."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from weighhouse.core.canonical import JsonError
from weighhouse.core.commitments import (
    NOTHING,
    input_value,
    output_value,
    plain_hash,
    salt_make,
    salted_hash,
)
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.faults import fault_point
from weighhouse.core.statements import (
    ACCEPTANCE_KIND,
    RECEIPT_KIND,
    Signed,
    Statement,
    job_word,
    statement_domain,
)

from chain.prepared import Changes, Prepared, PreparedInsert, PreparedUpdate
from marketplace.inference.models import OPEN_STATES, CallState, Job, JobState, Receipt, WorkerKey
from marketplace.inference.payloads import payload_encrypt
from marketplace.inference.receipts.keys import delegation_of, unix_s, worker_key_active, worker_key_sign
from models_registry.runtime.errors import InputError, OutputInvalidError

logger = logging.getLogger(__name__)

_WORD = re.compile(r"0x[0-9a-f]{64}")


class Commitment(NamedTuple):
    """A salted hash and its salt."""

    hash: str
    salt: bytes


def input_commit(request: Mapping[str, Any]) -> Commitment:
    """Commit to a request in its final form. Takes as long as writing it as JSON. Raises InputError."""
    salt = salt_make()
    try:
        return Commitment(salted_hash(salt, input_value(request["inputs"], request["parameters"])), salt)
    except JsonError:
        # The original message may repeat what was sent.
        raise InputError(
            "The inputs hold a number beyond 2^53, or something else that JSON has no one form of."
        ) from None


def output_commit(outputs: list[Any]) -> Commitment:
    """Commit to a result. Raises OutputInvalidError."""
    salt = salt_make()
    try:
        return Commitment(salted_hash(salt, output_value(outputs)), salt)
    except JsonError:
        message = "The model's output holds a number beyond 2^53, or something else that JSON has no one form of."
        raise OutputInvalidError(message) from None


def receipt_open(*, job: Job, commitment: Commitment) -> None:
    """The row of a job that is being accepted, with its signed acceptance where this site can sign one.

    It is signed in the job's transaction: a write of its own would hold up the worker, which has the job by then.
    """
    receipts_open([(job, commitment)])


def receipts_open(accepted: Iterable[tuple[Job, Commitment]]) -> None:
    """The same of many jobs, in their transaction: a signed acceptance takes about a millisecond."""
    rows, key = [_opened(job, commitment) for job, commitment in accepted], worker_key_active()
    for receipt in rows:
        receipt.acceptance = _acceptance(receipt.job, receipt, key)
        if receipt.acceptance is None:
            # No key, or one that cannot be read: the others would fare no better.
            break
    _insert(*rows)


def _opened(job: Job, commitment: Commitment) -> Receipt:
    return Receipt(job=job, input_hash=commitment.hash, input_salt=payload_encrypt(job.pk, commitment.salt.hex()))


def receipt_output(*, job: Job, commitment: Commitment) -> None:
    """Note what a job returned, in the transaction that ends it."""
    salt = payload_encrypt(job.pk, commitment.salt.hex())
    _output_note(job_id=job.pk, output_hash=commitment.hash, salt=salt)


def acceptance_issue(*, job: Job) -> dict[str, Any] | None:
    """The signed acceptance of a job, the same each time; `None` where there is none, and none can be signed any more.

    It is signed as the job is accepted. Where this site had no key then, it can be while the job waits: a promise to
    run what has begun, or was given up, would be none.
    """
    receipt = _of_job.first(job_id=job.pk)
    if receipt is None or receipt.acceptance is not None:
        return None if receipt is None else receipt.acceptance
    document = _acceptance(job, receipt, worker_key_active()) if job_is_promised(job) else None
    if document is None or _accept(job_id=job.pk, document=document, now=timezone.now()) == 1:
        return document
    # Somebody was faster, a buyer or a worker. The buyer must see one acceptance, however often it asks.
    return Receipt.objects.values_list("acceptance", flat=True).get(pk=job.pk)


def acceptances_issue(*, jobs: Sequence[Job]) -> dict[UUID, dict[str, Any] | None]:
    """`acceptance_issue` of many jobs."""
    stored = dict(Receipt.objects.filter(job__in=jobs, acceptance__isnull=False).values_list("job_id", "acceptance"))
    return {job.pk: stored.get(job.pk) or acceptance_issue(job=job) for job in jobs}


def job_is_promised(job: Job) -> bool:
    """Whether the job is yet to begin, so that an acceptance of it can still be signed."""
    return job.state == JobState.QUEUED and job.started_at is None and timezone.now() < job.start_before


def _acceptance(job: Job, receipt: Receipt, key: WorkerKey | None) -> dict[str, Any] | None:
    if key is None:
        return None
    entry = getattr(job, "call", None)
    message = {
        **_subject(job, receipt, key),
        "calls": 0 if entry is None else entry.calls,
        "startBefore": unix_s(job.start_before),
        "issuedAt": unix_s(timezone.now()),
    }
    try:
        return _signed(ACCEPTANCE_KIND, message, key).json()
    except WeighhouseError as error:
        logger.error("The acceptance of job %s cannot be signed: %s", job.pk, error.message)
        return None


def receipt_issue(*, job_id: UUID) -> bool:
    """Sign the receipt of a job that has ended, once. Returns whether it has one now.

    1. Read the job. An open one has none; one that has a receipt keeps it.
    2. Sign, while no transaction is open.
    3. Store it by a conditional UPDATE: of two that signed, one is kept. A crash before it leaves the row to the sweep.
    """
    receipt = _with_job.first(job_id=job_id)
    if receipt is None or receipt.job.is_open:
        return False
    if receipt.digest:
        return True
    key = worker_key_active()
    if key is None:
        return False
    now = timezone.now()
    try:
        statement = _signed(RECEIPT_KIND, _receipt_message(receipt, key, unix_s(now)), key, receipt.job.fingerprint)
    except WeighhouseError as error:
        logger.error("The receipt of job %s cannot be signed: %s", job_id, error.message)
        return False
    fault_point("receipts.signed")
    digest = "0x" + statement.typed.digest().hex()
    _sign(job_id=receipt.pk, document=statement.json(), digest=digest, key_id=key.pk, now=now)
    fault_point("receipts.stored")
    return True


_insert = PreparedInsert(Receipt)


@PreparedUpdate
def _output_note(job_id: Any, output_hash: Any, salt: Any) -> Changes:
    return Receipt.objects.filter(job_id=job_id), {"output_hash": output_hash, "output_salt": salt}


@PreparedUpdate
def _accept(job_id: Any, document: Any, now: Any) -> Changes:
    waiting = Job.objects.filter(pk=OuterRef("job_id"), state=JobState.QUEUED, started_at=None, start_before__gt=now)
    rows = Receipt.objects.filter(Exists(waiting), job_id=job_id, acceptance__isnull=True)
    return rows, {"acceptance": document}


@PreparedUpdate
def _sign(*, job_id: Any, document: Any, digest: Any, key_id: Any, now: Any) -> Changes:
    changes = {"document": document, "digest": digest, "key": key_id, "issued_at": now}
    return Receipt.objects.filter(job_id=job_id, digest=""), changes


@Prepared
def _of_job(job_id: Any) -> QuerySet[Receipt]:
    return Receipt.objects.filter(job_id=job_id)


@Prepared
def _with_job(job_id: Any) -> QuerySet[Receipt]:
    return Receipt.objects.select_related("job", "job__call").filter(job_id=job_id)


def receipts_sweep(*, most: int = 500) -> int:
    """Sign what a crash, or a time without a key, left unsigned. Returns how many."""
    if worker_key_active() is None:
        return 0
    due = Receipt.objects.filter(~Q(job__state__in=OPEN_STATES), digest="")
    return sum(receipt_issue(job_id=job_id) for job_id in due.values_list("job_id", flat=True)[:most])


def _receipt_message(receipt: Receipt, key: WorkerKey, issued_at: int) -> dict[str, int | str]:
    job = receipt.job
    succeeded = job.state == JobState.SUCCEEDED
    entry = getattr(job, "call", None)
    counted = entry.calls if entry is not None and entry.state == CallState.SETTLED else 0
    return {
        **_subject(job, receipt, key),
        "state": job.state,
        "errorCode": "" if succeeded else str((job.error or {}).get("code", "internal"))[:100],
        "outputHash": (receipt.output_hash or NOTHING) if succeeded else NOTHING,
        "fingerprintHash": NOTHING if job.fingerprint is None else "0x" + plain_hash(job.fingerprint).hex(),
        "calls": counted,
        "startedAt": unix_s(job.started_at),
        "finishedAt": unix_s(job.finished_at),
        "issuedAt": issued_at,
    }


def _subject(job: Job, receipt: Receipt, key: WorkerKey) -> dict[str, int | str]:
    return {
        "jobId": job_word(job.pk),
        "operatorId": key.operator_id,
        # A job under no licence, as a trial, says 0.
        "licenceId": job.licence_id or 0,
        "modelId": job.model_id,
        "releaseDigest": _word(job.release_digest),
        "task": job.task,
        "inputHash": receipt.input_hash,
        "checkedBlock": job.checked_block_number,
        "checkedBlockHash": _word(job.checked_block_hash),
        "acceptedAt": unix_s(job.created_at),
    }


def _signed(
    kind: str, message: dict[str, int | str], key: WorkerKey, fingerprint: dict[str, Any] | None = None
) -> Statement:
    domain = statement_domain(key.chain_id, key.market)
    delegation = Signed(delegation_of(key).message, key.delegation_signature)
    unsigned = Statement(
        kind=kind, domain=domain, signed=Signed(message, ""), delegation=delegation, fingerprint=fingerprint
    )
    signature = worker_key_sign(key, unsigned.typed.digest())
    return Statement(
        kind=kind, domain=domain, signed=Signed(message, signature), delegation=delegation, fingerprint=fingerprint
    )


def _word(text: str) -> str:
    return text.lower() if _WORD.fullmatch(text.lower()) else NOTHING
