"""How long payloads are kept, and how they go: with the uploads that only they name, and the text told of them."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from chain.prepared import Changes, PreparedInsert, PreparedUpdate
from marketplace.inference import events
from marketplace.inference.errors import InputUploadNotFoundError
from marketplace.inference.models import OPEN_STATES, InputUpload, Job, JobPayload, JobState, Receipt
from marketplace.inference.payloads import payload_encrypt
from marketplace.inference.selectors import JobOutputs, job_outputs
from marketplace.inference.services.inputs import uploads_of
from marketplace.inference.upload_files import upload_file_delete

_PURGED_AT_ONCE = 1000


def payloads_write(requests: Sequence[tuple[Job, dict[str, Any]]]) -> None:
    """Keep what new jobs were asked, encrypted, tied to the uploads that they name, in the caller's transaction.

    Raises InputUploadNotFoundError where an upload went between check and transaction.
    """
    delete_at = timezone.now() + timedelta(seconds=settings.PAYLOAD_RETENTION_S)
    rows = [JobPayload(job=job, request=payload_encrypt(job.pk, asked), delete_at=delete_at) for job, asked in requests]
    _payloads_insert(*rows)
    named = [(job.pk, number) for job, asked in requests for number in uploads_of(asked["inputs"])]
    numbers = {number for _, number in named}
    if not numbers:
        return
    if len(_uploads_lock(numbers)) < len(numbers):
        raise InputUploadNotFoundError("An upload that an input names was deleted meanwhile. Send it again.")
    links = JobPayload.uploads.through
    links.objects.bulk_create(links(jobpayload_id=job_id, inputupload_id=number) for job_id, number in named)


def payload_settle(job: Job, state: JobState) -> None:
    """What becomes of the payload of a job that has just ended, in the transaction that ends it.

    What is stored is kept for `PAYLOAD_RETENTION_S` from now. Of a job that stores nothing the inputs go now, with the
    salt of their hash, and the outputs, where there are some, within `PAYLOAD_HANDOUT_S`; those of a batch have that
    long from the batch's end.
    """
    rows = JobPayload.objects.filter(job=job)
    now = timezone.now()
    if job.store:
        _payload_keep(job_id=job.pk, until=now + timedelta(seconds=settings.PAYLOAD_RETENTION_S))
    elif state == JobState.SUCCEEDED:
        uploads = _uploads_alone(rows)
        Receipt.objects.filter(job=job).update(input_salt=None)
        rows.update(request=b"", delete_at=now + timedelta(seconds=settings.PAYLOAD_HANDOUT_S))
        JobPayload.uploads.through.objects.filter(jobpayload_id=job.pk).delete()
        uploads_drop(uploads)
    else:
        payloads_drop(rows)


def job_hand_out(job: Job) -> JobOutputs | None:
    """The outputs for their owner; `None` where there are none, or none any more.

    Of a job that stores nothing they are handed out once: of two that ask at the same time one gets them.
    """
    outputs = job_outputs(job)
    if outputs is None or job.store:
        return outputs
    return outputs if payloads_drop(JobPayload.objects.filter(job=job)) else None


def payloads_drop(rows: QuerySet[JobPayload]) -> int:
    """Delete payloads, what of them was told to followers, and uploads that no other payload names.

    With the payload of a job that stores nothing go the salts of its receipt, which could try out what it was; the
    receipt stays. Returns how many payloads.
    """
    with transaction.atomic():
        uploads = _uploads_alone(rows)
        told = list(rows.values_list("pk", flat=True))
        _, deleted = rows.delete()
        uploads_drop(uploads)
        Receipt.objects.filter(job_id__in=told, job__store=False).update(input_salt=None, output_salt=None)
        transaction.on_commit(partial(events.job_events_delete, told), robust=True)
    return deleted.get("inference.JobPayload", 0)


def uploads_drop(numbers: Sequence[UUID]) -> int:
    """Delete uploads by their ids, those alone that no payload names. The files go once that is certain."""
    with transaction.atomic():
        # Looked at under the lock: while it was waited for, a job may have come to name one of them.
        held = _uploads_lock(numbers)
        going = list(InputUpload.objects.filter(pk__in=held, payloads=None).values_list("pk", flat=True))
        InputUpload.objects.filter(pk__in=going).delete()
        transaction.on_commit(lambda: _files_delete(going))
    return len(going)


def payloads_purge() -> int:
    """Delete the payloads and uploads whose time is over. Returns how many payloads. Those of open jobs stay.

    A batch that stores nothing gives its outputs out as a whole: they stay until it has ended. In transactions of
    `_PURGED_AT_ONCE`, until nothing is due: however many jobs a minute end, their payloads go in time.
    """
    now = timezone.now()
    due = JobPayload.objects.filter(delete_at__lte=now).exclude(job__state__in=OPEN_STATES)
    due = due.exclude(job__store=False, job__batch__isnull=False, job__batch__ended_at=None)
    unnamed = InputUpload.objects.filter(delete_at__lte=now, payloads=None)
    deleted = 0
    while keys := list(due.values_list("pk", flat=True)[:_PURGED_AT_ONCE]):
        deleted += payloads_drop(JobPayload.objects.filter(pk__in=keys))
    while numbers := list(unnamed.values_list("pk", flat=True)[:_PURGED_AT_ONCE]):
        if not uploads_drop(numbers):
            break  # a job came to name them all meanwhile
    return deleted


@PreparedUpdate
def _payload_keep(job_id: Any, until: Any) -> Changes:
    return JobPayload.objects.filter(job_id=job_id), {"delete_at": until}


_payloads_insert = PreparedInsert(JobPayload)


def _uploads_lock(numbers: Collection[UUID]) -> list[UUID]:
    """Let nobody else name or delete these until the transaction ends. Those that are there, locked in one order."""
    rows = InputUpload.objects.select_for_update().filter(pk__in=numbers).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def _files_delete(numbers: Sequence[UUID]) -> None:
    for number in numbers:
        upload_file_delete(number)


def _uploads_alone(rows: QuerySet[JobPayload]) -> list[UUID]:
    return list(InputUpload.objects.filter(payloads__in=rows).values_list("pk", flat=True).distinct())
