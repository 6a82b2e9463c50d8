"""What can go wrong between the site and what holds its key."""

from weighhouse.core.errors import WeighhouseError


class SignerMissing(WeighhouseError):
    """Settings name neither a key nor a signer."""

    code = "signing.no_signer"


class SignerUnavailable(WeighhouseError):
    """The remote signer does not answer, or not with an answer."""

    code = "signing.unavailable"
    retryable = True


class SignerRefused(WeighhouseError):
    """The remote signer answered that it does not sign this."""

    code = "signing.refused"


class SignatureDiffers(WeighhouseError):
    """What the remote signer returned is not what it was asked to sign, or not by the account it was asked for."""

    code = "signing.differs"
