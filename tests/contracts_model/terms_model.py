"""Which terms a plan may have."""

from collections.abc import Callable, Mapping

from tests.contracts_model.refusals import Reasons
from tests.contracts_model.states import (
    DOWNLOAD,
    MAX_CALLS,
    MAX_ENTRY_BPS,
    MAX_PERIOD,
    MAX_SERVICE_BPS,
    MAX_VESTING,
    MIN_VESTING,
    RENEWABLE,
    RUN,
    TRANSFERABLE,
    Operator,
    Terms,
)


def terms_reasons(
    terms: Terms, *, fee_bps: int, operators: Mapping[int, Operator], allowed: Callable[[str], bool]
) -> Reasons:
    reasons = Reasons()
    flags = terms.flags
    reasons.when(not flags & (RUN | DOWNLOAD), "FlagsInvalid")
    reasons.when(flags & ~(RUN | DOWNLOAD | TRANSFERABLE | RENEWABLE), "FlagsInvalid")
    reasons.when(flags & RENEWABLE and not (terms.period or terms.calls), "FlagsInvalid")
    reasons.when(not terms.supply, "SupplyZero")
    reasons.when(terms.period > MAX_PERIOD, "PeriodTooLong")
    reasons.when(not _vesting_fits(terms), "VestingInvalid")
    reasons.when(terms.calls > MAX_CALLS, "CallsTooMany")
    reasons.when(terms.feeBps != fee_bps, "FeeDiffers")
    reasons.when(terms.serviceBps > MAX_SERVICE_BPS, "BpsTooLarge")
    reasons.when(terms.entryBps > MAX_ENTRY_BPS, "BpsTooLarge")
    reasons.when((terms.calls or terms.serviceBps) and not terms.operatorId, "OperatorRequired")
    operator = operators.get(terms.operatorId)
    reasons.when(terms.operatorId and operator is None, "OperatorUnknown")
    reasons.when(operator is not None and operator.disabled, "OperatorIsDisabled")
    reasons.when(not allowed(terms.token), "TokenNotAllowed")
    return reasons


def _vesting_fits(terms: Terms) -> bool:
    if terms.vesting == 0:
        return True
    return terms.vesting == terms.period if terms.period else MIN_VESTING <= terms.vesting <= MAX_VESTING
