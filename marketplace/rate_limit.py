"""`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), from what a domain says of a limit."""

import math
from collections.abc import Mapping
from typing import Any


def rate_limit_headers(limit: Mapping[str, Any]) -> dict[str, str]:
    """`limit` has `policy` (a token), `quota` in `window_s`, and of that `left` now, all of it again in `full_in_s`."""
    reset_s = math.ceil(limit["full_in_s"])
    return {
        "RateLimit-Policy": f'"{limit["policy"]}";q={limit["quota"]};w={limit["window_s"]}',
        "RateLimit": f'"{limit["policy"]}";r={limit["left"]};t={reset_s}',
    }
