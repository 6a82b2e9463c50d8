"""The ledger of calls: reserved when a job is accepted, counted when it succeeds, released otherwise.

Each function runs inside the transaction that moves the job, so that the two cannot disagree. A job costs one call per
input, and one more per input that is explained (`job_calls`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from chain.prepared import Changes, Prepared, PreparedInsert, PreparedUpdate
from marketplace.accounts.key_calls import key_calls_release, key_calls_settle
from marketplace.inference.errors import JobNotReservedError
from marketplace.inference.models import CallEntry, CallState, Job, LicenceUse

# What an input costs that is explained; others cost one call.
MOST_CALLS_PER_INPUT = 2
# What a column for a number of jobs holds at most: no bound.
_ANY_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Calls:
    """What the chain says: calls bought over the licence's life (0: unmetered), and used by the operator's reports."""

    bought: int
    used: int = 0


def job_calls(inputs: Sequence[Any], parameters: Mapping[str, Any]) -> int:
    """How many calls a job costs: one per input, one more per input with the parameter `explain`."""
    return len(inputs) * (MOST_CALLS_PER_INPUT if parameters.get("explain") else 1)


def call_room(*, licence_id: int, purchase: str, calls: Calls, most_open: int | None = None, wanted: int = 1) -> bool:
    """Reserve `wanted` calls of a licence for one job or batch. False where fewer are left: it is all or none.

    What is used is the larger of the chain's count and the ledger's: the ledger runs ahead of the reports, and a ledger
    that was lost, or another site that served the licence, makes the chain know more.

    `purchase` is the transaction that bought it: another licence that was given the same id has calls of its own.

    With `most_open`, also false where so many jobs and batches of the licence have not ended.
    One conditional UPDATE: of two callers that race for the last call, one changes the row.
    """
    names: dict[str, Any] = {"licence_id": licence_id, "purchase": purchase}
    taken = _reserve(names, calls, most_open, wanted)
    if not taken:
        # The row comes with the first call, which may be another's that is at it now.
        LicenceUse.objects.get_or_create(**names)
        taken = _reserve(names, calls, most_open, wanted)
    return taken


def _reserve(names: Mapping[str, Any], calls: Calls, most_open: int | None, wanted: int) -> bool:
    most_open = _ANY_NUMBER if most_open is None else most_open
    if not calls.bought:
        return _reserve_unmetered(**names, most_open=most_open, wanted=wanted) == 1
    left = {"by_ledger": calls.bought - wanted, "by_chain": calls.bought - calls.used - wanted}
    return _reserve_metered(**names, most_open=most_open, wanted=wanted, used=calls.used, **left) == 1


@PreparedUpdate
def _reserve_unmetered(licence_id: Any, purchase: Any, most_open: Any, wanted: Any) -> Changes:
    row = _row(licence_id, purchase).filter(open_jobs__lt=most_open)
    return row, {"reserved": F("reserved") + wanted, "open_jobs": F("open_jobs") + 1, "is_metered": False}


@PreparedUpdate
def _reserve_metered(
    *, licence_id: Any, purchase: Any, most_open: Any, wanted: Any, used: Any, by_ledger: Any, by_chain: Any
) -> Changes:
    row = _row(licence_id, purchase).filter(open_jobs__lt=most_open)
    row = row.filter(used__lte=by_ledger - F("reserved"), reserved__lte=by_chain)
    changes = {"reserved": F("reserved") + wanted, "open_jobs": F("open_jobs") + 1, "is_metered": True}
    # What is settled later is added to it: a ledger that is behind would count it within what the chain knows.
    return row, {**changes, "used": Greatest(F("used"), used)}


def use_of_purchase(*, licence_id: int, purchase: str) -> LicenceUse | None:
    """What was used under a licence since it was bought; `None` where nothing was."""
    return _use.first(licence_id=licence_id, purchase=purchase)


def calls_left(*, licence_id: int, purchase: str, calls: Calls) -> int | None:
    """Calls of a licence that are neither used nor reserved, however many jobs are open; `None` where unmetered."""
    if not calls.bought:
        return None
    row = use_of_purchase(licence_id=licence_id, purchase=purchase) or LicenceUse()
    return max(calls.bought - row.reserved - max(row.used, calls.used), 0)


def call_is_left(*, licence_id: int, purchase: str, calls: Calls, wanted: int = 1) -> bool:
    """Whether the licence has so many calls that are neither used nor reserved, however many jobs are open."""
    left = calls_left(licence_id=licence_id, purchase=purchase, calls=calls)
    return left is None or left >= wanted


def call_enter(*, job: Job, purchase: str, limit: int, calls: int = 1, **more: Any) -> CallEntry:
    """The ledger's entry for calls that `call_room` reserved. `more` are other fields of the entry."""
    entry = CallEntry(job=job, licence_id=job.licence_id, purchase=purchase, limit=limit, calls=calls, **more)
    _enter(entry)
    return entry


def call_settle(*, job: Job) -> None:
    """Count the job's calls. Raises JobNotReservedError where they are not reserved (any more)."""
    entry = _close(job, CallState.SETTLED)
    if entry is None:
        raise JobNotReservedError("No call is reserved for this job, so its result cannot be handed out.")
    _use_settle(licence_id=entry.licence_id, purchase=entry.purchase, calls=entry.calls, places=_places(job))
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


def _use_of(entry: CallEntry) -> QuerySet[LicenceUse]:
    """The licence's row; none of a trial, which has no licence."""
    return LicenceUse.objects.filter(licence_id=entry.licence_id, purchase=entry.purchase)


def _close(job: Job, state: CallState) -> CallEntry | None:
    if _entry_close(job_id=job.pk, state=state, now=timezone.now()) != 1:
        return None
    return _entry_of_job.first(job_id=job.pk)


@PreparedUpdate
def _use_settle(licence_id: Any, purchase: Any, calls: Any, places: Any) -> Changes:
    changes = {"reserved": F("reserved") - calls, "used": F("used") + calls, "open_jobs": F("open_jobs") - places}
    return _row(licence_id, purchase), changes


@PreparedUpdate
def _entry_close(job_id: Any, state: Any, now: Any) -> Changes:
    return CallEntry.objects.filter(job_id=job_id, state=CallState.RESERVED), {"state": state, "closed_at": now}


@Prepared
def _entry_of_job(job_id: Any) -> QuerySet[CallEntry]:
    return CallEntry.objects.filter(job_id=job_id)


@Prepared
def _use(licence_id: Any, purchase: Any) -> QuerySet[LicenceUse]:
    return _row(licence_id, purchase)


_enter = PreparedInsert(CallEntry)
