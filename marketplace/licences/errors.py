"""Why somebody may not use a model, and what to do about it."""

from weighhouse.core.errors import WeighhouseError


class PlanNotFoundError(WeighhouseError):
    """The index holds no such plan."""

    code = "plan.not_found"


class PlanReorgedError(PlanNotFoundError):
    """A re-org removed the plan's event. It returns if its transaction is mined again."""

    code = "plan.reorged"


class PlanRetiredError(WeighhouseError):
    """The plan is not sold any more."""

    code = "plan.retired"


class LicenceNoneError(WeighhouseError):
    """The account holds no licence of this model, or the licence that it names does not exist."""

    code = "licence.none"


class LicenceNotFoundError(WeighhouseError):
    """The index holds no such licence."""

    code = "licence.not_found"


class LicenceReorgedError(LicenceNotFoundError):
    """A re-org removed the purchase. It returns if its transaction is mined again."""

    code = "licence.reorged"


class DeliveryNoneError(WeighhouseError):
    """The holder has not asked for the release key."""

    code = "delivery.none"


class DeliveryNotFinalError(WeighhouseError):
    """The request for the release key is on chain, and a re-org could still take it back."""

    code = "delivery.not_final"
    retryable = True


class LicenceCancelledError(WeighhouseError):
    """Its holder has ended the licence."""

    code = "licence.cancelled"


class LicenceSuspendedError(WeighhouseError):
    """The licence's model is suspended: its clock stands, and nothing of the licence's time is lost."""

    code = "licence.suspended"


class CallsExhaustedError(WeighhouseError):
    """Every call of the licence is used or reserved by a job that has not ended."""

    code = "licence.calls_exhausted"


class LicenceExpiredError(WeighhouseError):
    """The licence was valid once."""

    code = "licence.expired"


class LicenceForeignError(WeighhouseError):
    """The licence belongs to another address."""

    code = "licence.foreign"


class LicenceWrongModelError(WeighhouseError):
    """The licence is for another model."""

    code = "licence.wrong_model"


class LicenceNoRunRightError(WeighhouseError):
    """The licence's plan does not include the right RUN."""

    code = "licence.no_run_right"


class LicencePurchaseUnknownError(WeighhouseError):
    """The licence is valid on chain, but neither index nor recent logs say by which purchase it came to be."""

    code = "licence.purchase_unknown"
    retryable = True


class LicenceForeignOperatorError(WeighhouseError):
    """The plan counts calls, and another operator than this site attests them."""

    code = "licence.foreign_operator"


class LicenceUsageUnreportedError(WeighhouseError):
    """Too many calls of the licence were served here and are not reported on chain yet."""

    code = "licence.usage_unreported"
    retryable = True


class OperatorNotFoundError(WeighhouseError):
    """The index holds no such operator."""

    code = "operator.not_found"


class BalanceTooLowError(WeighhouseError):
    """The account that pays holds less than the price."""

    code = "payment.balance_too_low"


class NothingToDoError(WeighhouseError):
    """The transaction would be mined and change nothing."""

    code = "transaction.nothing_to_do"
