"""How long to wait after an error. Pure."""

from weighhouse.core.errors import WeighhouseError

from chain.gateway.errors import NodeBehind, RateLimited

WAIT_MAX_S = 15.0


def wait_s(error: Exception, *, failures: int, poll_s: float) -> float:
    """Seconds before the next attempt, where `failures` counts attempts that failed in a row, this one included.

    A node that lags is asked again at the usual pace. A rate limit is obeyed. Everything else doubles its wait up to
    a cap; what cannot heal without a person (`retryable` false) waits for the cap at once, since it may still be mended
    at the other side.
    """
    if isinstance(error, RateLimited):
        return max(error.retry_after, poll_s)
    if isinstance(error, NodeBehind):
        return poll_s
    if isinstance(error, WeighhouseError) and not error.retryable:
        return WAIT_MAX_S
    return min(poll_s * 2.0 ** min(failures, 10), WAIT_MAX_S)
