"""What the operator allows the sender."""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

SPEND_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`daily_spend_wei` and `low_balance_wei` of 0 are no limit. `hold_s` doubles with each try up to an hour."""

    daily_spend_wei: int = 0
    low_balance_wei: int = 0
    max_fee_wei: int = 200 * 10**9
    max_in_flight: int = 8
    stuck_s: float = 60.0
    hold_s: float = 15.0
    hold_tries: int = 10


def limits_of_settings() -> Limits:
    return Limits(
        daily_spend_wei=settings.OPERATOR_DAILY_SPEND_WEI,
        low_balance_wei=settings.OPERATOR_LOW_BALANCE_WEI,
        max_fee_wei=settings.OPERATOR_MAX_FEE_WEI,
        max_in_flight=settings.OUTBOX_MAX_IN_FLIGHT,
        stuck_s=settings.OUTBOX_STUCK_S,
    )
