"""Calls of an API key: counted at acceptance, so that a cap is exact whatever races for it.

Each function runs inside the transaction that moves the job. Whoever comes first holds the key's row until it ends.
"""

from datetime import date
from typing import Any

from django.db.models import BigIntegerField, Case, F, Q, QuerySet, Value, When

from chain.prepared import Changes, Prepared, PreparedUpdate
from marketplace.accounts.errors import ApiKeyCallsExhaustedError
from marketplace.accounts.models import ApiKey, CallCapPeriod, today


def key_calls_reserve(*, key: ApiKey, calls: int) -> date:
    """Count `calls` against the key's cap, if it has one. Returns the day on which they count.

    One conditional UPDATE, which begins a new day where the row's is over. A row that is ahead of this machine's clock
    stays on its day. Raises ApiKeyCallsExhaustedError.
    """
    day = today()
    if key.calls_cap is None:
        taken = _reserve(key_id=key.pk, day=day, calls=calls)
    else:
        reserve = _reserve_of_day if key.calls_cap_per == CallCapPeriod.DAY else _reserve_in_all
        taken = reserve(key_id=key.pk, day=day, calls=calls, left=key.calls_cap - calls)
    if taken != 1:
        raise _exhausted(ApiKey.objects.get(pk=key.pk), calls)
    return _counted_on.first(key_id=key.pk) or day


def key_calls_settle(*, key_id: int, calls: int) -> None:
    """Calls that were reserved are used."""
    _settle(key_id=key_id, calls=calls)


def key_calls_release(*, key_id: int, calls: int, counted_on: date | None) -> None:
    """Calls that were reserved on that day are given back, to that day too if it is not over."""
    row = ApiKey.objects.filter(pk=key_id)
    less = F("calls_of_day") - calls
    same_day = Case(When(calls_day=counted_on, then=less), default=F("calls_of_day"), output_field=BigIntegerField())
    row.update(calls_reserved=F("calls_reserved") - calls, calls_of_day=same_day)


@PreparedUpdate
def _reserve(key_id: Any, day: Any, calls: Any) -> Changes:
    return _row(key_id), _reservation(day, calls)


@PreparedUpdate
def _reserve_of_day(key_id: Any, day: Any, calls: Any, left: Any) -> Changes:
    row = _row(key_id).alias(of_day=_calls_of_day(day)).filter(of_day__lte=left)
    return row, _reservation(day, calls)


@PreparedUpdate
def _reserve_in_all(key_id: Any, day: Any, calls: Any, left: Any) -> Changes:
    return _row(key_id).filter(calls_used__lte=left - F("calls_reserved")), _reservation(day, calls)


@PreparedUpdate
def _settle(key_id: Any, calls: Any) -> Changes:
    return _row(key_id), {"calls_reserved": F("calls_reserved") - calls, "calls_used": F("calls_used") + calls}


@Prepared
def _counted_on(key_id: Any) -> QuerySet[ApiKey, date | None]:
    return _row(key_id).values_list("calls_day", flat=True)


def _row(key_id: Any) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(pk=key_id)


def _reservation(day: Any, calls: Any) -> dict[str, Any]:
    return {
        "calls_reserved": F("calls_reserved") + calls,
        "calls_of_day": _calls_of_day(day) + calls,
        "calls_day": Case(When(_is_over(day), then=day), default=F("calls_day")),
    }


def _calls_of_day(day: Any) -> Case:
    return Case(When(_is_over(day), then=Value(0)), default=F("calls_of_day"), output_field=BigIntegerField())


def _is_over(day: Any) -> Q:
    return Q(calls_day=None) | Q(calls_day__lt=day)


def _exhausted(key: ApiKey, calls: int) -> ApiKeyCallsExhaustedError:
    left, per = key.calls_left or 0, CallCapPeriod(key.calls_cap_per).label
    return ApiKeyCallsExhaustedError(
        f"This API key may use {key.calls_cap} calls {per}; {left} are left and this job costs {calls}. Use another "
        f"key, or ask the account's owner for one.{' The next day begins at midnight UTC.' if 'day' in per else ''}",
        cap=key.calls_cap,
        per=key.calls_cap_per,
        left=left,
        wanted=calls,
    )
