"""What can go wrong between a caller and the account that they say they are."""

from weighhouse.core.errors import WeighhouseError


class SignInNonceUnknownError(WeighhouseError):
    """The signed message carries a challenge that this session does not hold (any more)."""

    code = "sign_in.nonce_unknown"


class AccountClosedError(WeighhouseError):
    """The operator closed this account."""

    code = "account.closed"


class ApiKeyInvalidError(WeighhouseError):
    """The bearer token is not a key of this site."""

    code = "key.invalid"


class ApiKeyRevokedError(WeighhouseError):
    """The key was revoked by its owner."""

    code = "key.revoked"


class ApiKeyExpiredError(WeighhouseError):
    """The key is past the date its owner gave it."""

    code = "key.expired"


class ApiKeyScopeMissingError(WeighhouseError):
    """The key is valid but was not made for this kind of call."""

    code = "key.scope_missing"


class ApiKeyNotFoundError(WeighhouseError):
    """The account has no such key."""

    code = "key.not_found"


class ApiKeyLimitError(WeighhouseError):
    """The account holds as many usable keys as it may."""

    code = "key.limit"


class ApiKeyOtherLicenceError(WeighhouseError):
    """The key is bound to one licence, and the call is about something else."""

    code = "key.other_licence"


class ApiKeyCallsExhaustedError(WeighhouseError):
    """The key has used or reserved as many calls as its owner gave it."""

    code = "key.calls_exhausted"
