"""The rate of a licence: a token bucket that all its keys share, on the licence's row of the ledger."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from chain.prepared import Changes, PreparedUpdate
from marketplace.inference.ledger import MOST_CALLS_PER_INPUT
from marketplace.inference.models import LicenceUse
from marketplace.licences.selectors import licence_limits

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket of `calls` that fills in `window_s` seconds."""

    calls: int
    window_s: int

    @property
    def call_us(self) -> int:
        """How long one call takes to come back, in microseconds."""
        return max(self.window_s * MICRO // self.calls, 1)


def licence_rate(plan_id: int) -> Rate:
    limits = licence_limits(plan_id)
    return Rate(limits.rate_calls, limits.rate_window_s)


def rate_take(*, licence_id: int, purchase: str, rate: Rate, wanted: int) -> float:
    """Take `wanted` calls out of the licence's bucket. 0, or the seconds until it has them; then none is taken.

    The bucket is one number: when it will be full again (the generic cell rate algorithm). It is on the row that a
    reservation writes anyway, so that all processes share it, a restart keeps it, and it is given back with the rest
    where the job is not accepted after all. A job of more calls than the bucket holds waits until it is full, and those
    that follow wait for it. A bucket that a clock in the future emptied, and that cannot be so empty, is full.
    """
    now = now_us()
    room_us = (rate.calls - min(wanted, rate.calls)) * rate.call_us
    names: dict[str, Any] = {"licence_id": licence_id, "purchase": purchase}
    cost = wanted * rate.call_us
    if _take(**names, now=now, latest=now + room_us, cost=cost) == 1:
        return 0.0
    if _take_anew(**names, latest=_latest_us(rate, now), full_at_us=now + cost) == 1:
        return 0.0
    return max(LicenceUse.objects.get(**names).full_at_us - now - room_us, 1) / MICRO


@PreparedUpdate
def _take(*, licence_id: Any, purchase: Any, now: Any, latest: Any, cost: Any) -> Changes:
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase, full_at_us__lte=latest)
    return row, {"full_at_us": Greatest(F("full_at_us"), now) + cost}


@PreparedUpdate
def _take_anew(*, licence_id: Any, purchase: Any, latest: Any, full_at_us: Any) -> Changes:
    row = LicenceUse.objects.filter(licence_id=licence_id, purchase=purchase, full_at_us__gt=latest)
    return row, {"full_at_us": full_at_us}


def _latest_us(rate: Rate, now: int) -> int:
    """When a bucket is full again at the latest: no more is missing than the largest batch leaves of a full one.

    A window more is for clocks of several hosts. What lies beyond was written while a clock was ahead.
    """
    largest = MOST_CALLS_PER_INPUT * settings.BATCH_MAX_INPUTS
    return now + 2 * rate.window_s * MICRO + largest * rate.call_us


def bucket_state(use: LicenceUse, rate: Rate) -> dict[str, Any]:
    """What `RateLimit` headers say of a licence's bucket (`marketplace.rate_limit`)."""
    now = now_us()
    missing_us = max(use.full_at_us - now, 0) if use.full_at_us <= _latest_us(rate, now) else 0
    return {
        "policy": "licence",
        "quota": rate.calls,
        "window_s": rate.window_s,
        "left": max(rate.calls - -(-missing_us // rate.call_us), 0),
        "full_in_s": missing_us / MICRO,
    }


def now_us() -> int:
    return int(timezone.now().timestamp() * MICRO)
