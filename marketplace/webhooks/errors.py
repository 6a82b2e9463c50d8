"""Why an endpoint or a delivery is not what the caller asked for."""

from weighhouse.core.errors import WeighhouseError


class WebhookNotFoundError(WeighhouseError):
    """The account has no such endpoint."""

    code = "webhook.not_found"


class WebhookEventNotFoundError(WeighhouseError):
    """The endpoint was told of no such event, or the log of it is over."""

    code = "webhook.event_not_found"


class WebhookLimitError(WeighhouseError):
    """The account has as many endpoints as it may have."""

    code = "webhook.limit"


class WebhookDisabledError(WeighhouseError):
    """The endpoint is switched off."""

    code = "webhook.disabled"


class WebhookSecretLostError(WeighhouseError):
    """No secret of the endpoint can be opened: the payload key that sealed it is gone. Only in logs of deliveries."""

    code = "webhook.secret_lost"
