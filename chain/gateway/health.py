"""What is known of each endpoint, and in which order to ask them. Pure: the clocks are given, nothing is sent.

Threads and forks share a record without a lock: each change replaces it as a whole, and a change that is lost to
another at the same moment costs one request too many, nothing else.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chain.gateway.errors import ChainError, RateLimited, WrongChain
from chain.gateway.protocol import EndpointHealth, EndpointState, Header

# An endpoint lags if it is more than so many blocks behind the best one, and its newest block is older than so many
# seconds. The second half is there because a fallback that invents a head could else draw every call to itself.
LAG_BLOCKS = 3
LAG_AGE_S = 15.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
# An endpoint that held for so long after a failure begins again with the shortest wait at the next one.
STEADY_S = 60.0
# How often an endpoint that nobody needed is asked whether it is well.
PROBE_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """One endpoint. `contacted`, `failed` and `not_before` are seconds of the monotonic clock.

    `lag` was taken when `head` was: what the others were known to have then is never newer, so that it errs downward.
    """

    name: str
    head: int | None = None
    lag: int | None = None
    lagging: bool = False
    contacted: float | None = None
    answered_at: datetime | None = None
    failures: int = 0
    failed: float | None = None
    backoff_level: int = 0
    not_before: float = 0.0
    error_code: str = ""

    @property
    def healthy(self) -> bool:
        return self.failures == 0


def record_answered(record: EndpointRecord, *, now: float, answered_at: datetime) -> EndpointRecord:
    """After an answer, also one that refuses the request."""
    steady = record.failed is None or now - record.failed > STEADY_S
    return replace(
        record,
        contacted=now,
        answered_at=answered_at,
        failures=0,
        not_before=0.0,
        backoff_level=0 if steady else record.backoff_level,
    )


def record_head(record: EndpointRecord, head: Header, *, best: int, wall_time: float) -> EndpointRecord:
    """After an answer that named the newest block. `best` is the highest that another endpoint is known to have."""
    lag = max(best - head.number, 0)
    lagging = lag > LAG_BLOCKS and wall_time - head.timestamp > LAG_AGE_S
    return replace(record, head=head.number, lag=lag, lagging=lagging)


def record_failed(record: EndpointRecord, error: ChainError, *, now: float) -> EndpointRecord:
    """After no answer, a refused rate or another chain. The wait doubles; a rate limit may ask for a longer one."""
    level = record.backoff_level + 1
    wait = min(BACKOFF_FIRST_S * 2.0 ** min(level - 1, 20), BACKOFF_MAX_S)
    if isinstance(error, RateLimited):
        wait = max(wait, error.retry_after)
    return replace(
        record,
        contacted=now,
        failures=record.failures + 1,
        failed=now,
        backoff_level=level,
        not_before=now + wait,
        error_code=error.code,
    )


def order_of(records: Sequence[EndpointRecord], *, newest: bool, now: float) -> list[int]:
    """The places of the endpoints to ask, one after the other.

    1. Those that answered last time or were never asked, in the order of the settings; where the `newest` state is
       wanted, those that lag come after the others.
    2. Those that failed last time and whose wait is over.
    3. Where there is none of these, the one whose wait ends first: a caller is never refused without a question.

    An endpoint that failed is taken back by a probe (`probe_due`), which no caller waits for.
    """
    well = [place for place, record in enumerate(records) if record.healthy]
    well.sort(key=lambda place: newest and records[place].lagging)
    due = [place for place, record in enumerate(records) if not record.healthy and record.not_before <= now]
    return well + due or [min(range(len(records)), key=lambda place: records[place].not_before)]


def probe_due(records: Sequence[EndpointRecord], *, asked: int, now: float) -> int | None:
    """The endpoint that should be asked whether it is well, if any: one that failed, or that nobody asked for a while.

    Without that, one that lags would stay the first for ever, and one that failed the last. The one that is `asked`
    anyway needs no probe.
    """
    for place, record in enumerate(records):
        idle = record.contacted is None or now - record.contacted >= PROBE_AFTER_S
        if place != asked and record.not_before <= now and (idle or not record.healthy):
            return place
    return None


class HealthBook:
    """The records of a gateway's endpoints."""

    def __init__(
        self, count: int, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._records = [EndpointRecord(f"endpoint {place}") for place in range(1, count + 1)]

    def order(self, *, newest: bool) -> list[int]:
        return order_of(self._records, newest=newest, now=self._clock())

    def probe_due(self, *, asked: int) -> int | None:
        return probe_due(self._records, asked=asked, now=self._clock())

    def answered(self, place: int, *, head: Header | None = None) -> None:
        wall_time = self._wall_clock()
        answered_at = datetime.fromtimestamp(wall_time, tz=UTC)
        record = record_answered(self._records[place], now=self._clock(), answered_at=answered_at)
        if head is not None:
            others = [other.head or 0 for n, other in enumerate(self._records) if n != place and other.healthy]
            record = record_head(record, head, best=max(others, default=0), wall_time=wall_time)
        self._records[place] = record

    def failed(self, place: int, error: ChainError) -> None:
        self._records[place] = record_failed(self._records[place], error, now=self._clock())

    def report(self) -> list[EndpointHealth]:
        return [_report(record) for record in self._records]


def _report(record: EndpointRecord) -> EndpointHealth:
    return EndpointHealth(
        name=record.name,
        state=_state(record),
        head=record.head,
        lag=record.lag,
        failures=record.failures,
        last_error_code=record.error_code,
        answered_at=record.answered_at,
    )


def _state(record: EndpointRecord) -> EndpointState:
    if record.contacted is None:
        return "unknown"
    if record.failures and record.error_code == RateLimited.code:
        return "limited"
    if record.failures and record.error_code == WrongChain.code:
        return "wrong_chain"
    if record.failures:
        return "failing"
    return "lagging" if record.lagging else "healthy"
