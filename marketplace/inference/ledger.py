"""The ledger of calls: reserved when a job is accepted, counted when it succeeds, released otherwise.

Each function runs inside the transaction that moves the job, so that the two cannot disagree.
"""

from dataclasses import dataclass

from django.db.models import F, Q, QuerySet, Value
from django.utils import timezone

from marketplace.inference.errors import JobNotReservedError
from marketplace.inference.models import CallEntry, CallState, Job, LicenceUse


@dataclass(frozen=True, slots=True)
class Calls:
    """What the chain says: calls bought over the licence's life (0: unmetered), and used by the operator's reports."""

    bought: int
    used: int = 0


def call_room(*, licence_id: int, purchase: str, calls: Calls, wanted: int = 1) -> bool:
    """Reserve `wanted` calls of a licence. False where fewer are left: it is all of them or none.

    What is used is the larger of the chain's count and the ledger's: the ledger runs ahead of the reports, and a ledger
    that was lost, or another site that served the licence, makes the chain know more.

    `purchase` is the transaction that bought it: another licence that was given the same id has calls of its own.

    One conditional UPDATE: of two callers that race for the last call, one changes the row.
    """
    LicenceUse.objects.get_or_create(licence_id=licence_id, purchase=purchase)
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)
    if calls.bought:
        row = row.filter(_has_room(calls, wanted))
    return row.update(reserved=F("reserved") + wanted) == 1


def call_is_left(*, licence_id: int, purchase: str, calls: Calls, wanted: int = 1) -> bool:
    """Whether the licence has so many calls that are neither used nor reserved, however many jobs are open."""
    if not calls.bought:
        return True
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)
    return row.filter(_has_room(calls, wanted)).exists() or (not row.exists() and calls.used + wanted <= calls.bought)


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


def _has_room(calls: Calls, wanted: int) -> Q:
    return Q(used__lte=Value(calls.bought - wanted) - F("reserved")) & Q(
        reserved__lte=calls.bought - calls.used - wanted
    )


def _use_of(job: Job) -> QuerySet[LicenceUse]:
    entry = CallEntry.objects.get(job_id=job.pk)
    return LicenceUse.objects.filter(licence_id=entry.licence_id, purchase=entry.purchase)


def _close(job: Job, state: CallState) -> bool:
    entry = CallEntry.objects.filter(job_id=job.pk, state=CallState.RESERVED)
    return entry.update(state=state, closed_at=timezone.now()) == 1
