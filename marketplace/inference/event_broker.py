"""Streams in Redis or Valkey. The broker may be slow, empty or away: nothing raises, and nothing waits for long."""

import logging
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

T = TypeVar("T")

logger = logging.getLogger(__name__)

# A worker that tells of its progress is not held up for longer.
TIMEOUT_S = 0.5
# What a read may take beyond the time that it was told to wait.
GRACE_S = 1.0
LONGEST_WAIT_S = 2.0
# After a failure the broker is left alone for this long, so that a silent one does not slow down every step.
PAUSE_S = 2.0
_READ_COUNT = 512


class EventBroker:
    """Streams by key. Safe to share between threads and across forks. Answers `None` while the broker is away."""

    def __init__(self, url: str) -> None:
        self._redis = _client(url, timeout_s=TIMEOUT_S)
        # Each read that waits has a connection of its own; the pool makes them.
        self._waiting = _client(url, timeout_s=LONGEST_WAIT_S + GRACE_S)
        self._paused_until = 0.0
        self._is_away = False

    def add(self, key: str, token: bytes, *, only_if_there: bool, most: int, ttl_s: int) -> None:
        """Append an entry, drop the oldest beyond `most`, and let the whole stream live for `ttl_s` from now."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xadd(key, {b"e": token}, maxlen=most, approximate=True, nomkstream=only_if_there)
        pipeline.expire(key, ttl_s)
        self._try(pipeline.execute)

    def read(self, key: str, after: str, *, wait_s: float) -> list[tuple[str, bytes]] | None:
        """Ids and contents of the entries behind `after`. Waits for the first, `LONGEST_WAIT_S` at most."""
        # 0 would mean for ever.
        block = math.ceil(min(wait_s, LONGEST_WAIT_S) * 1000) or None
        answer = self._try(lambda: self._waiting.xread({key: after}, count=_READ_COUNT, block=block))
        if answer is None:
            return None
        entries = [entry for _, found in _pairs(answer) for entry in found]
        return [(entry_id.decode(), fields[b"e"]) for entry_id, fields in entries if fields and b"e" in fields]

    def newest(self, key: str) -> str | None:
        """The id of the newest entry."""
        found: Any = self._try(lambda: self._redis.xrevrange(key, count=1))
        return str(found[0][0].decode()) if found else None

    def delete(self, *keys: str) -> None:
        self._try(lambda: self._redis.delete(*keys))

    def _try(self, action: Callable[[], T]) -> T | None:
        if time.monotonic() < self._paused_until:
            return None
        try:
            answer = action()
        except RedisError as error:
            self._paused_until = time.monotonic() + PAUSE_S
            if not self._is_away:
                # The text may hold the broker's address and password.
                logger.warning(
                    "The broker does not answer (%s). Jobs are followed in the database.", type(error).__name__
                )
            self._is_away = True
            return None
        self._is_away = False
        return answer


def event_broker() -> EventBroker:
    """The broker that the settings name."""
    return _event_broker(settings.BROKER_URL)


@lru_cache(maxsize=8)
def _event_broker(url: str) -> EventBroker:
    return EventBroker(url)


def _client(url: str, *, timeout_s: float) -> "Redis":
    # No retry: whoever waits has the database to turn to. The pool itself replaces connections that a restart closed.
    return Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0))


def _pairs(answer: Any) -> list[tuple[Any, Any]]:
    """Streams and their entries: a list in RESP2, a dict in RESP3, whose lists of entries are wrapped once more."""
    if isinstance(answer, dict):
        return [(key, chunk) for key, chunks in answer.items() for chunk in chunks]
    return [(key, entries) for key, entries in answer]
