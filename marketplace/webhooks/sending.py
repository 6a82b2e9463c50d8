"""The client with which webhooks are sent."""

from functools import lru_cache

from django.conf import settings

from chain.outgoing import OutgoingClient


def outgoing_client() -> OutgoingClient:
    """For the settings of the moment."""
    return _client(tuple(settings.OUTGOING_ALLOW), settings.WEBHOOK_TIMEOUT_S)


@lru_cache(maxsize=4)
def _client(allowed: tuple[str, ...], timeout_s: float) -> OutgoingClient:
    # Of the answer only the status counts.
    return OutgoingClient(allowed=allowed, timeout_s=timeout_s, max_bytes=4096)
