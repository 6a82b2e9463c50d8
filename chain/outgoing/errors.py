"""Why a call to a stranger's address was not made, or had no answer. None repeats the address's path or query."""

from weighhouse.core.errors import WeighhouseError


class OutgoingError(WeighhouseError):
    """Base of what `OutgoingClient` raises."""

    code = "outgoing.error"


class OutgoingUrlError(OutgoingError):
    """The URL is not one that the site calls."""

    code = "outgoing.url_invalid"


class OutgoingRefusedError(OutgoingError):
    """The host's addresses are not all public ones."""

    code = "outgoing.address_refused"


class OutgoingUnreachableError(OutgoingError):
    """The name does not resolve, nothing listens there, TLS failed, or what came is not HTTP."""

    code = "outgoing.unreachable"
    retryable = True


class OutgoingTimeoutError(OutgoingError):
    """The whole exchange took longer than it may."""

    code = "outgoing.timeout"
    retryable = True
