"""Why there is no receipt, or no key to sign one."""

from weighhouse.core.errors import WeighhouseError


class ReceiptUnavailableError(WeighhouseError):
    """No receipt of this job can be had: this site has no worker key, or the job is older than receipts."""

    code = "receipt.unavailable"


class WorkerKeyError(WeighhouseError):
    """A worker key cannot be made, rotated or revoked as asked."""

    code = "worker_key.refused"


class RecheckError(WeighhouseError):
    """A job cannot be run again: it gave no result, or its payload is gone."""

    code = "recheck.impossible"
