"""The header `Prefer` (RFC 7240): how long a caller would like to wait for the result of a job."""

import re

# A longer wait than this is cut to it.
WAIT_MOST_S = 60
_WAIT = re.compile(r"\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:;.*)?", re.IGNORECASE | re.ASCII | re.DOTALL)


def prefer_wait(header: str | None) -> int | None:
    """The seconds of `wait`, at most `WAIT_MOST_S`; `None` where none are asked for.

    The first of several counts, and what is not understood is left alone, as the RFC says of both.
    """
    for preference in (header or "").split(","):
        match = _WAIT.fullmatch(preference)
        if match:
            return min(int(match.group(1)), WAIT_MOST_S)
    return None
