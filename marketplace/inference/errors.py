"""Why a job was not accepted, or did not succeed."""

from weighhouse.core.errors import WeighhouseError


class JobNotFoundError(WeighhouseError):
    """The account has no such job."""

    code = "job.not_found"


class JobNotOpenError(WeighhouseError):
    """The job has ended."""

    code = "job.not_open"


class JobNotFinishedError(WeighhouseError):
    """The job has not ended yet."""

    code = "job.not_finished"


class JobPayloadDeletedError(WeighhouseError):
    """Inputs and outputs are gone: their time was over, or their owner deleted them."""

    code = "job.payload_deleted"


class IdempotencyConflictError(WeighhouseError):
    """The key was used for another request."""

    code = "job.idempotency_conflict"


class IdempotencyKeyInvalidError(WeighhouseError):
    """The key is not 1 to 255 visible ASCII characters."""

    code = "job.idempotency_key_invalid"


class JobTaskUnsupportedError(WeighhouseError):
    """No worker of this site runs models of this task."""

    code = "job.task_unsupported"


class JobWorkerLostError(WeighhouseError):
    """Every worker that tried the job ended without an answer."""

    code = "job.worker_lost"


class JobExpiredError(WeighhouseError):
    """No worker started the job in time."""

    code = "job.expired"


class JobCancelledError(WeighhouseError):
    """The job's owner cancelled it."""

    code = "job.cancelled"


class JobCancelLimitError(WeighhouseError):
    """The account cancelled as many running jobs within the hour as it may; this one runs to its end."""

    code = "job.cancel_limit"
    retryable = True


class JobTooManyOpenError(WeighhouseError):
    """The licence or the account has as many jobs that have not ended as it may have at once."""

    code = "job.too_many_open"
    retryable = True


class JobQueueFullError(WeighhouseError):
    """As many jobs wait on this site as may."""

    code = "job.queue_full"
    retryable = True


class LicenceRateError(WeighhouseError):
    """The licence used more calls than its rate lets through."""

    code = "licence.rate_exceeded"
    retryable = True


class TrialUnavailableError(WeighhouseError):
    """The model cannot be tried without a licence."""

    code = "trial.unavailable"


class TrialExhaustedError(WeighhouseError):
    """A budget of trials is used up for the day."""

    code = "trial.exhausted"
    retryable = True


class JobNotReservedError(WeighhouseError):
    """The ledger has no open reservation for a job that is about to be counted."""

    code = "job.not_reserved"


class BatchNotFoundError(WeighhouseError):
    """The account has no such batch."""

    code = "batch.not_found"


class BatchInvalidError(WeighhouseError):
    """The inputs of a batch are not a list of as many as a batch may have."""

    code = "batch.invalid"


class BatchTooValuableError(WeighhouseError):
    """The calls of a batch are worth more than the site lets be outstanding before they are reported on chain."""

    code = "batch.too_valuable"


class BatchNotOpenError(WeighhouseError):
    """The batch has ended."""

    code = "batch.not_open"


class BatchTooManyOpenError(WeighhouseError):
    """The account has as many batches that have not ended as it may have at once."""

    code = "batch.too_many_open"
    retryable = True


class InputUploadNotFoundError(WeighhouseError):
    """The account has no such upload, or none any more."""

    code = "input_upload.not_found"


class InputUploadKindError(WeighhouseError):
    """The media type is none that an input can have."""

    code = "input_upload.kind_unknown"


class InputUploadQuotaError(WeighhouseError):
    """The account keeps as much in uploads as it may."""

    code = "input_upload.quota"


class InputUploadInUseError(WeighhouseError):
    """A job that has not ended needs the upload."""

    code = "input_upload.in_use"


class JobStreamsBusyError(WeighhouseError):
    """The account, or the process, has as many requests that wait for jobs as it may have at once."""

    code = "job.too_many_streams"
    retryable = True
