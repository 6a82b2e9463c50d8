"""Calls of an API key: counted at acceptance, so that a cap is exact whatever races for it.

Each function runs inside the transaction that moves the job. Whoever comes first holds the key's row until it ends.
"""

from datetime import date

from django.db.models import BigIntegerField, Case, F, Q, Value, When

from marketplace.accounts.errors import ApiKeyCallsExhaustedError
from marketplace.accounts.models import ApiKey, CallCapPeriod, today


def key_calls_reserve(*, key: ApiKey, calls: int) -> date:
    """Count `calls` against the key's cap, if it has one. Returns the day on which they count.

    One conditional UPDATE, which begins a new day where the row's is over. A row that is ahead of this machine's clock
    stays on its day. Raises ApiKeyCallsExhaustedError.
    """
    day = today()
    row = ApiKey.objects.filter(pk=key.pk)
    over = Q(calls_day=None) | Q(calls_day__lt=day)
    of_day = Case(When(over, then=Value(0)), default=F("calls_of_day"), output_field=BigIntegerField())
    if key.calls_cap is not None and key.calls_cap_per == CallCapPeriod.DAY:
        row = row.alias(of_day=of_day).filter(of_day__lte=key.calls_cap - calls)
    elif key.calls_cap is not None:
        row = row.filter(calls_used__lte=Value(key.calls_cap - calls) - F("calls_reserved"))
    taken = row.update(
        calls_reserved=F("calls_reserved") + calls,
        calls_of_day=of_day + calls,
        calls_day=Case(When(over, then=Value(day)), default=F("calls_day")),
    )
    if taken != 1:
        raise _exhausted(ApiKey.objects.get(pk=key.pk), calls)
    counted: date = ApiKey.objects.values_list("calls_day", flat=True).get(pk=key.pk) or day
    return counted


def key_calls_settle(*, key_id: int, calls: int) -> None:
    """Calls that were reserved are used."""
    ApiKey.objects.filter(pk=key_id).update(
        calls_reserved=F("calls_reserved") - calls, calls_used=F("calls_used") + calls
    )


def key_calls_release(*, key_id: int, calls: int, counted_on: date | None) -> None:
    """Calls that were reserved on that day are given back, to that day too if it is not over."""
    row = ApiKey.objects.filter(pk=key_id)
    less = F("calls_of_day") - calls
    same_day = Case(When(calls_day=counted_on, then=less), default=F("calls_of_day"), output_field=BigIntegerField())
    row.update(calls_reserved=F("calls_reserved") - calls, calls_of_day=same_day)


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
