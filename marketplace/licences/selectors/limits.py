"""What one licence may do at a time: the same for each of its keys together."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class LicenceLimits:
    """`rate_calls` in `rate_window_s` seconds by a token bucket, and jobs that have not ended."""

    rate_calls: int
    rate_window_s: int
    jobs_at_once: int

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.rate_calls} calls in {self.rate_window_s} s, {self.jobs_at_once} jobs at once"


def licence_limits(_plan_id: int) -> LicenceLimits:
    """The limits of licences under a plan. They are the site's for now, the same for each plan."""
    return LicenceLimits(
        rate_calls=max(settings.LICENCE_RATE_CALLS, 1),
        rate_window_s=max(settings.LICENCE_RATE_WINDOW_S, 1),
        jobs_at_once=settings.JOB_MAX_OPEN_PER_LICENCE,
    )
