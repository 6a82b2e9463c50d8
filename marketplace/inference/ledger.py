"""The ledger of calls: reserved when a job is accepted, counted when it succeeds, released otherwise.

Each function runs inside the transaction that moves the job, so that the two cannot disagree.
"""

from django.db.models import F, QuerySet, Value
from django.utils import timezone

from marketplace.inference.errors import JobNotReservedError
from marketplace.inference.models import CallEntry, CallState, Job, LicenceUse


def call_room(*, licence_id: int, purchase: str, limit: int, most_open: int | None = None) -> bool:
    """Reserve one call of a licence that has `limit` of them (0: unmetered). False where none is left.

    `purchase` is the transaction that bought it: another licence that was given the same id has calls of its own.

    With `most_open`, also false where so many calls are reserved already: each is a job that has not ended.
    One conditional UPDATE: of two callers that race for the last call, one changes the row.
    """
    LicenceUse.objects.get_or_create(licence_id=licence_id, purchase=purchase)
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)
    if most_open is not None:
        row = row.filter(reserved__lt=most_open)
    if limit:
        row = row.filter(used__lt=Value(limit) - F("reserved"))
    return row.update(reserved=F("reserved") + 1) == 1


def call_is_left(*, licence_id: int, purchase: str, limit: int) -> bool:
    """Whether the licence has a call that is neither used nor reserved, however many jobs are open."""
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)
    return not limit or not row.filter(used__gte=Value(limit) - F("reserved")).exists()


def call_enter(*, job: Job, purchase: str, limit: int) -> CallEntry:
    """The ledger's entry for a call that `call_room` reserved."""
    return CallEntry.objects.create(job=job, licence_id=job.licence_id, purchase=purchase, limit=limit)


def call_settle(*, job: Job) -> None:
    """Count the job's call. Raises JobNotReservedError where it is not reserved (any more)."""
    if not _close(job, CallState.SETTLED):
        raise JobNotReservedError("No call is reserved for this job, so its result cannot be handed out.")
    _use_of(job).update(reserved=F("reserved") - 1, used=F("used") + 1)


def call_release(*, job: Job) -> None:
    """Give the job's call back. Doing it again, or without a reservation, changes nothing."""
    if _close(job, CallState.RELEASED):
        _use_of(job).update(reserved=F("reserved") - 1)


def _use_of(job: Job) -> QuerySet[LicenceUse]:
    entry = CallEntry.objects.get(job_id=job.pk)
    return LicenceUse.objects.filter(licence_id=entry.licence_id, purchase=entry.purchase)


def _close(job: Job, state: CallState) -> bool:
    entry = CallEntry.objects.filter(job_id=job.pk, state=CallState.RESERVED)
    return entry.update(state=state, closed_at=timezone.now()) == 1
