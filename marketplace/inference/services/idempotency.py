"""One row for one Idempotency-Key: a request that comes again gives what it gave the first time."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from django.db import IntegrityError
from django.db.models import QuerySet
from weighhouse.core.errors import WeighhouseError

from marketplace.accounts.models import Account
from marketplace.inference.errors import IdempotencyConflictError, IdempotencyKeyInvalidError
from marketplace.inference.models import Batch, Job
from marketplace.inference.payloads import request_mac, request_macs
from marketplace.inference.selectors import row_is_seen

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
RowT = TypeVar("RowT", Job, Batch)


@dataclass(frozen=True)
class Asked:
    """Who asks, under which key if any, and all that is asked."""

    account: Account
    key: str | None
    request: dict[str, Any]

    @cached_property
    def mac(self) -> str:
        """Of the request, to be kept with what it made."""
        return request_mac(self.request)

    def is_same(self, mac: str) -> bool:
        """Whether the request is the one that a MAC was made of, under whichever key."""
        return mac == self.mac or mac in request_macs(self.request)


def row_once(rows: QuerySet[RowT], asked: Asked, make: Callable[[], RowT]) -> tuple[RowT, bool]:
    """The row of the key, or else the one that `make` writes; and whether it is new.

    Raises what `make` raises, IdempotencyKeyInvalidError, and IdempotencyConflictError for a key that another request
    had.
    """
    known = row_of_key(rows, asked)
    if known is not None:
        return known, False
    try:
        return make(), True
    except (IntegrityError, WeighhouseError):
        # Somebody with the same key was faster, and may have taken the last calls; anything else stays an error.
        known = row_of_key(rows, asked)
        if known is None:
            raise
        return known, False


def row_of_key(rows: QuerySet[RowT], asked: Asked) -> RowT | None:
    """What the account made with this key before. Raises as `row_once` does."""
    if asked.key is None:
        return None
    if not _KEY.fullmatch(asked.key):
        raise IdempotencyKeyInvalidError("An Idempotency-Key has 1 to 255 visible ASCII characters, without spaces.")
    row = rows.filter(account=asked.account, idempotency_key=asked.key).first()
    if row is not None and not row_is_seen(row, asked.account):
        raise IdempotencyConflictError(
            "This Idempotency-Key was used by another API key of this account. Take a new one."
        )
    if row is not None and not asked.is_same(row.request_mac):
        raise IdempotencyConflictError(
            "This Idempotency-Key was used for another request. Take a new key for a new request.",
            **{"batch" if isinstance(row, Batch) else "job": str(row.pk)},
        )
    return row
