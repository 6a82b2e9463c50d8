"""Reads about receipts: documents with their proofs, what opens their hashes, the site's keys."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet, Sum
from weighhouse.core.commitments import input_value, output_value
from weighhouse.core.merkle import MerkleTree
from weighhouse.core.statements import DELEGATION, REVOCATION, Anchoring, Statement, message_json

from chain.prepared import Prepared
from marketplace.inference import selectors
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.models import CallEntry, CallState, Job, Receipt, ReceiptBatch, WorkerKey
from marketplace.inference.payloads import payload_decrypt
from marketplace.inference.receipts.keys import delegation_of, revocation_of


def receipt_get(job: Job) -> Receipt | None:
    """The job's row, with its batch."""
    return _of_job.first(job_id=job.pk)


@Prepared
def _of_job(job_id: Any) -> QuerySet[Receipt]:
    return Receipt.objects.select_related("batch").filter(job_id=job_id)


def receipt_statement(receipt: Receipt) -> Statement | None:
    """The receipt as it is given out, with its proof once its batch is anchored; `None` where it is not signed."""
    if receipt.document is None:
        return None
    statement = Statement.from_json(receipt.document)
    batch = receipt.batch
    if batch is None or batch.anchored_at is None:
        return statement
    return replace(statement, anchoring=batch_proof(batch, receipt.digest))


def batch_proof(batch: ReceiptBatch, digest: str) -> Anchoring:
    """What leads from a receipt of the batch to its root."""
    digests = batch.digests()
    proof = MerkleTree.of(digests).proof(digests.index(bytes.fromhex(digest[2:])))
    return Anchoring(batch.root, tuple("0x" + word.hex() for word in proof))


def receipt_opening(job: Job) -> dict[str, Any]:
    """Salts and values behind the hashes, for the job's owner alone. What is gone is `None`, and so is its value."""
    # What a job that stores nothing returned is handed out once, and not here.
    request, found = selectors.job_request(job), selectors.job_outputs(job) if job.store else None
    values = {
        "input": None if request is None else input_value(request["inputs"], request["parameters"]),
        "output": None if found is None else output_value(found.outputs),
    }
    salts = job_salts(job)._asdict()
    return {name: {"salt": salt, "value": values[name]} if salt else None for name, salt in salts.items()}


class Salts(NamedTuple):
    """What opens the hashes of a job's statements, as `0x` hex; empty where there is none, or none any more."""

    input: str
    output: str


def job_salts(job: Job) -> Salts:
    receipt = receipt_get(job)
    if receipt is None:
        return Salts("", "")
    return Salts(salt_read(job, receipt.input_salt), salt_read(job, receipt.output_salt))


def salt_read(job: Job, token: bytes | memoryview | None) -> str:
    """A salt as `0x` hex; empty where it was deleted, or its key is gone."""
    try:
        return "" if token is None else "0x" + str(payload_decrypt(job.pk, token))
    except JobPayloadDeletedError:
        return ""


def worker_keys() -> list[dict[str, Any]]:
    """Every delegation and revocation of this site, newest first: what `weighhouse verify --keys` reads."""
    return [_key_json(key) for key in WorkerKey.objects.filter(chain_id=settings.CHAIN_ID)]


def calls_settled(licence_ids: Iterable[int]) -> dict[tuple[int, str], int]:
    """Calls that were counted, by licence and the purchase of it, from the entries that receipts repeat.

    Reports of use and `selectors.calls_used` read the same sums where the ledger keeps them beside its entries.
    """
    entries = CallEntry.objects.filter(licence_id__in=list(licence_ids), state=CallState.SETTLED)
    rows = entries.values_list("licence_id", "purchase").annotate(total=Sum("calls")).order_by()
    return {(licence_id, purchase): total for licence_id, purchase, total in rows}


def _key_json(key: WorkerKey) -> dict[str, Any]:
    delegation = {
        "message": message_json(DELEGATION, delegation_of(key).message),
        "signature": key.delegation_signature,
    }
    revocation = None
    if key.revoked_at is not None:
        message = message_json(REVOCATION, revocation_of(key).message)
        revocation = {"message": message, "signature": key.revocation_signature}
    return {
        "worker_key": key.address,
        "chain_id": str(key.chain_id),
        "market": key.market,
        "delegation": delegation,
        "revocation": revocation,
        "retired": key.retired_at is not None,
    }
