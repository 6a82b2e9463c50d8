"""What can be wrong with an order."""

from weighhouse.core.errors import WeighhouseError


class OrderNotFoundError(WeighhouseError):
    """The account recorded no such order."""

    code = "order.not_found"


class OrderConflictError(WeighhouseError):
    """The account recorded this transaction already as something else, or this order as another transaction."""

    code = "order.conflict"


class OrderTooManyOpenError(WeighhouseError):
    """The account has as many orders that no log fulfils yet as are followed at once."""

    code = "order.too_many_open"
    retryable = True
