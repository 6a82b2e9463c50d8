"""The ledger of calls: reserved when a job is accepted, counted when it succeeds, released otherwise.

Each function runs inside the transaction that moves the job, so that the two cannot disagree. A job costs one call per
input, and one more per input that is explained (`job_calls`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from marketplace.accounts.key_calls import key_calls_release, key_calls_settle
from marketplace.inference.errors import JobNotReservedError
from marketplace.inference.models import CallEntry, CallState, Job, LicenceUse


@dataclass(frozen=True, slots=True)
class Calls:
    """What the chain says: calls bought over the licence's life (0: unmetered), and used by the operator's reports."""

    bought: int
    used: int = 0


def job_calls(inputs: Sequence[Any], parameters: Mapping[str, Any]) -> int:
    """How many calls a job costs: one per input, one more per input with the parameter `explain`."""
    return len(inputs) * (2 if parameters.get("explain") else 1)


def call_room(*, licence_id: int, purchase: str, calls: Calls, most_open: int | None = None, wanted: int = 1) -> bool:
    """Reserve `wanted` calls of a licence for one job or batch. False where fewer are left: it is all or none.

    What is used is the larger of the chain's count and the ledger's: the ledger runs ahead of the reports, and a ledger
    that was lost, or another site that served the licence, makes the chain know more.

    `purchase` is the transaction that bought it: another licence that was given the same id has calls of its own.

    With `most_open`, also false where so many jobs and batches of the licence have not ended.
    One conditional UPDATE: of two callers that race for the last call, one changes the row.
    """
    LicenceUse.objects.get_or_create(licence_id=licence_id, purchase=purchase)
    row = _row(licence_id, purchase)
    if most_open is not None:
        row = row.filter(open_jobs__lt=most_open)
    if calls.bought:
        row = row.filter(_has_room(calls, wanted))
    changes: dict[str, Any] = {"reserved": F("reserved") + wanted, "open_jobs": F("open_jobs") + 1}
    if calls.bought:
        # What is settled later is added to it: a ledger that is behind would count it within what the chain knows.
        changes["used"] = Greatest(F("used"), Value(calls.used))
    return row.update(**changes, is_metered=calls.bought > 0) == 1


def calls_left(*, licence_id: int, purchase: str, calls: Calls) -> int | None:
    """Calls of a licence that are neither used nor reserved, however many jobs are open; `None` where unmetered."""
    if not calls.bought:
        return None
    row = _row(licence_id, purchase).first() or LicenceUse()
    return max(calls.bought - row.reserved - max(row.used, calls.used), 0)


def call_is_left(*, licence_id: int, purchase: str, calls: Calls, wanted: int = 1) -> bool:
    """Whether the licence has so many calls that are neither used nor reserved, however many jobs are open."""
    left = calls_left(licence_id=licence_id, purchase=purchase, calls=calls)
    return left is None or left >= wanted


def call_enter(*, job: Job, purchase: str, limit: int, calls: int = 1, **more: Any) -> CallEntry:
    """The ledger's entry for calls that `call_room` reserved. `more` are other fields of the entry."""
    return CallEntry.objects.create(
        job=job, licence_id=job.licence_id, purchase=purchase, limit=limit, calls=calls, **more
    )


def call_settle(*, job: Job) -> None:
    """Count the job's calls. Raises JobNotReservedError where they are not reserved (any more)."""
    entry = _close(job, CallState.SETTLED)
    if entry is None:
        raise JobNotReservedError("No call is reserved for this job, so its result cannot be handed out.")
    _use_of(entry).update(
        reserved=F("reserved") - entry.calls, used=F("used") + entry.calls, open_jobs=F("open_jobs") - _places(job)
    )
    if job.api_key_id is not None:
        key_calls_settle(key_id=job.api_key_id, calls=entry.calls)


def call_release(*, job: Job) -> CallEntry | None:
    """Give the job's calls back; returns the entry. Doing it again, or without a reservation, changes nothing."""
    entry = _close(job, CallState.RELEASED)
    if entry is None:
        return None
    _use_of(entry).update(reserved=F("reserved") - entry.calls, open_jobs=F("open_jobs") - _places(job))
    if job.api_key_id is not None:
        key_calls_release(key_id=job.api_key_id, calls=entry.calls, counted_on=entry.counted_on)
    return entry


def batch_place_free(*, job: Job) -> None:
    """The batch that this job is of has ended: the licence has one open job less. Comes once, with the last job."""
    _use_of(CallEntry.objects.get(job_id=job.pk)).update(open_jobs=F("open_jobs") - 1)


def _places(job: Job) -> int:
    """How many of the licence's open jobs end with this one. A batch is one, and ends with its last job."""
    return 1 if job.batch_id is None else 0


def _row(licence_id: int, purchase: str) -> QuerySet[LicenceUse]:
    return LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase)


def _has_room(calls: Calls, wanted: int) -> Q:
    return Q(used__lte=Value(calls.bought - wanted) - F("reserved")) & Q(
        reserved__lte=calls.bought - calls.used - wanted
    )


def _use_of(entry: CallEntry) -> QuerySet[LicenceUse]:
    """The licence's row; none of a trial, which has no licence."""
    return LicenceUse.objects.filter(licence_id=entry.licence_id, purchase=entry.purchase)


def _close(job: Job, state: CallState) -> CallEntry | None:
    entry = CallEntry.objects.filter(job_id=job.pk, state=CallState.RESERVED)
    if entry.update(state=state, closed_at=timezone.now()) != 1:
        return None
    return CallEntry.objects.get(job_id=job.pk)
