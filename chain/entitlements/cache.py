"""The broker as a memory that processes share. It may be slow, empty, full of nonsense or away: nothing here raises."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

T = TypeVar("T")

logger = logging.getLogger(__name__)

# The mark of a key whose value some process is asking for. It passes by itself when that process dies.
ASKING = b"?"
ASKING_MS = 1000
# A broker that takes longer than a node would helps nobody.
TIMEOUT_S = 0.25
# After a failure the broker is left alone for this long, so that a silent one does not slow down every question.
PAUSE_S = 1.0


class BrokerCache:
    """Values by key, each with a time to live. Safe to share between threads and across forks.

    A broker that does not answer looks like one that holds nothing and lets everybody ask.
    """

    def __init__(self, url: str) -> None:
        # No retry: whoever asks has the node to turn to. The pool itself replaces connections that a restart closed.
        self._redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._paused_until = 0.0
        self._is_away = False

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, in order; `ASKING` where one is being asked for, `None` where there is none."""
        found = self._try(lambda: self._redis.mget(keys), None) or [None] * len(keys)
        return [value if isinstance(value, bytes) else None for value in found]

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Mark the keys without a value as being asked for by the caller. Those that were marked.

        In one transaction, so that of two callers with the same keys one gets all of them.
        """
        pipeline = self._redis.pipeline(transaction=True)
        for key in keys:
            pipeline.set(key, ASKING, nx=True, px=ASKING_MS)
        marked = self._try(pipeline.execute, None)
        return set(keys) if marked is None else {key for key, is_new in zip(keys, marked, strict=True) if is_new}

    def write(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        """Store values in the place of marks, or of whatever is there."""
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in values.items():
            pipeline.set(key, value, px=ttl_ms)
        self._try(pipeline.execute, None)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget keys, so that those who wait for them ask by themselves."""
        names = list(keys)
        if names:
            self._try(lambda: self._redis.delete(*names), None)

    def _try(self, action: Callable[[], T], otherwise: T) -> T:
        if time.monotonic() < self._paused_until:
            return otherwise
        try:
            answer = action()
        except RedisError as error:
            self._paused_until = time.monotonic() + PAUSE_S
            if not self._is_away:
                # The text may hold the broker's address and password.
                logger.warning("The broker does not answer (%s). The node is asked directly.", type(error).__name__)
            self._is_away = True
            return otherwise
        self._is_away = False
        return answer


def broker_cache() -> BrokerCache | None:
    """The memory that this site's processes share. `None` where a chain in memory stands in for the node's."""
    if getattr(settings, "CHAIN_GATEWAY", None) is not None:
        return None
    return _broker_cache(settings.BROKER_URL)


@lru_cache(maxsize=8)
def _broker_cache(url: str) -> BrokerCache:
    return BrokerCache(url)
