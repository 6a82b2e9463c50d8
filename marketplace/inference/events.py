"""What happens to a job, told to whoever waits for it: a stream in the broker per job.

Each entry is encrypted like a payload and bound to its job, so that the broker holds no text of anybody. A stream is
bounded in length and passes by itself. It is a shortcut and never the truth: the database has the state and the result.
So nothing here raises because the broker is away, was emptied or tells nonsense; who waits then reads the database.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from chain.prepared import Prepared
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.event_broker import LONGEST_WAIT_S, event_broker
from marketplace.inference.models import OPEN_STATES, Job
from marketplace.inference.payloads import payload_decrypt, payload_encrypt

logger = logging.getLogger(__name__)

STATE, TEXT, END = "state", "text", "end"
START = "0-0"
# Entries that a stream keeps. The oldest go first; who reads text notices by its place, and takes it from the result.
MOST_ENTRIES = 4096
# One wait in the broker. Between two of them the database is asked, for what the broker may have lost.
BEAT_S = LONGEST_WAIT_S
# The same while the broker is away.
POLL_S = 0.25
_ID = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One event. `id` resumes behind it; it is empty where the event was read from the database.

    - `state`: `{"state", "attempt", "error"}` of a job that was queued or is run; `error` is a code or null.
    - `text`: `{"attempt", "position", "at", "text"}`: a piece of the text generated for the input at `position`, which
      begins `at` so many characters of it.
    - `end`: `{"state", "error"}`. Nothing follows.
    """

    id: str
    kind: str
    data: dict[str, Any]


def event_id_is_valid(text: str) -> bool:
    """Whether a stream may have given out this id."""
    match = _ID.fullmatch(text)
    return match is not None and all(int(part) < 2**64 for part in match.groups())


def job_event_add(job_id: UUID, kind: str, data: dict[str, Any]) -> None:
    """Tell who waits for the job. Call it for a state once that is committed.

    Text is told only to a stream that is there: a late piece does not bring back one that was deleted.
    """
    token = payload_encrypt(job_id, {"kind": kind, "data": data})
    event_broker().add(_key(job_id), token, only_if_there=kind == TEXT, most=MOST_ENTRIES, ttl_s=_ttl_s())


def job_events_read(job_id: UUID, after: str = START, wait_s: float = 0) -> list[JobEvent]:
    """The events behind `after`; where there are none yet, those that come within `wait_s`, or none.

    1. Ask the broker, and wait there for `BEAT_S` at most.
    2. Where nothing came, ask the database whether the job has ended: the broker may have lost it.
    3. What was told before the job ended is in the stream by then, so look once more; else the end is the answer.
    4. Again until the time is over.
    """
    until = time.monotonic() + wait_s
    while True:
        left = max(0.0, until - time.monotonic())
        found = _read(job_id, after, wait_s=min(left, BEAT_S))
        if found is not None and found.events:
            return found.events
        ended = _ended(job_id)
        if ended is not None:
            last = _read(job_id, after, wait_s=0)
            return (last.events if last is not None else []) or [ended]
        left = until - time.monotonic()
        if left <= 0:
            return []
        if found is None:
            time.sleep(min(left, POLL_S))
        else:
            after = found.last


def job_events_follow(job_id: UUID, after: str = START, *, beat_s: float, until: float) -> Iterator[list[JobEvent]]:
    """Lists of events as they come, up to the `end` or the monotonic time `until`; an empty list per quiet `beat_s`."""
    while (left := until - time.monotonic()) > 0:
        found = job_events_read(job_id, after, wait_s=min(left, beat_s))
        yield found
        for event in found:
            if event.kind == END:
                return
            after = event.id


def job_ended_wait(job_id: UUID, timeout_s: float) -> bool:
    """Wait for the end of the job, woken by its stream. Returns whether it has ended."""
    until = time.monotonic() + timeout_s
    # What was told before is of no interest; what is told from here on is not missed.
    after = event_broker().newest(_key(job_id)) or START
    if _ended(job_id) is not None:
        return True
    followed = job_events_follow(job_id, after, beat_s=timeout_s, until=until)
    return any(event.kind == END for events in followed for event in events)


def job_events_delete(job_ids: Iterable[UUID]) -> None:
    """Forget what was told about the jobs."""
    keys = [_key(job_id) for job_id in job_ids]
    if keys:
        event_broker().delete(*keys)


def end_data(job: Job) -> dict[str, Any]:
    """What the `end` of a job says."""
    return {"state": job.state, "error": job.error}


@dataclass(frozen=True, slots=True)
class _Found:
    """Events that can be read, and the id of the last entry, readable or not."""

    events: list[JobEvent]
    last: str


def _read(job_id: UUID, after: str, *, wait_s: float) -> _Found | None:
    """`None` where the broker does not answer."""
    entries = event_broker().read(_key(job_id), after, wait_s=wait_s)
    if entries is None:
        return None
    events = [event for entry_id, token in entries if (event := _event(job_id, entry_id, token)) is not None]
    return _Found(events, entries[-1][0] if entries else after)


def _event(job_id: UUID, entry_id: str, token: bytes) -> JobEvent | None:
    try:
        content = payload_decrypt(job_id, token)
        return JobEvent(entry_id, content["kind"], content["data"])
    except (JobPayloadDeletedError, KeyError, TypeError):
        # Another key, or another's entry. Whoever can write to the broker cannot make one up.
        logger.warning("An event of job %s cannot be read and is left out", job_id)
        return None


def _ended(job_id: UUID) -> JobEvent | None:
    job = _state.first(job_id=job_id)
    if job is None:
        return JobEvent("", END, {"state": None, "error": None})
    return None if job.state in OPEN_STATES else JobEvent("", END, end_data(job))


@Prepared
def _state(job_id: Any) -> QuerySet[Job]:
    return Job.objects.only("state", "error").filter(pk=job_id)


def _ttl_s() -> int:
    """A stream never outlives what it speaks of."""
    return max(1, min(settings.JOB_EVENTS_TTL_S, settings.PAYLOAD_RETENTION_S))


def _key(job_id: UUID) -> str:
    return f"weighhouse:job-events:{job_id}"
