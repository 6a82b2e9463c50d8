"""Calls to addresses that a stranger named: one client, which connects to public addresses alone."""

from chain.outgoing.client import OutgoingAnswer, OutgoingClient
from chain.outgoing.errors import (
    OutgoingError,
    OutgoingRefusedError,
    OutgoingTimeoutError,
    OutgoingUnreachableError,
    OutgoingUrlError,
)

__all__ = [
    "OutgoingAnswer",
    "OutgoingClient",
    "OutgoingError",
    "OutgoingRefusedError",
    "OutgoingTimeoutError",
    "OutgoingUnreachableError",
    "OutgoingUrlError",
]
