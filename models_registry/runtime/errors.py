"""What the runtime raises. Messages are for people and name no path of the server."""

from typing import ClassVar

from weighhouse.core.errors import WeighhouseError


class SandboxUnavailable(WeighhouseError):
    """This machine cannot isolate a model. The message names what to install or to allow."""

    code: ClassVar[str] = "sandbox.unavailable"


class InputError(WeighhouseError):
    """Inputs or parameters that the task's schema refuses, or that the model cannot take."""

    code: ClassVar[str] = "input.invalid"


class RunnerError(WeighhouseError):
    """Base of what can go wrong while a model is loaded or run."""

    code: ClassVar[str] = "runner.failed"

    def __init__(self, message: str, *, log: str = "", **data: object) -> None:
        """`log` is the tail of what the runner printed: for the operator, never for a buyer."""
        super().__init__(message, **data)
        self.log = log


class ModelUnloadableError(RunnerError):
    """The release's files could not be loaded as a model of this task."""

    code: ClassVar[str] = "model.unloadable"


class RunnerDeadlineError(RunnerError):
    """The run did not finish in its time; its runner was killed."""

    code: ClassVar[str] = "runner.deadline"


class RunnerCrashedError(RunnerError):
    """The runner's process ended without an answer."""

    code: ClassVar[str] = "runner.crashed"
    retryable: ClassVar[bool] = True


class RunnerOutOfMemoryError(RunnerError):
    """The model needed more memory than a runner may have."""

    code: ClassVar[str] = "runner.out_of_memory"


class RunnerProtocolError(RunnerError):
    """The runner sent something that is not an answer; it was killed."""

    code: ClassVar[str] = "runner.protocol"


class RunnerBusyError(RunnerError):
    """The release's turn, or room for its runner, did not come in time. No runner was harmed.

    `data["retry_after_s"]`, where it is there, says when a place is likely.
    """

    code: ClassVar[str] = "runner.busy"
    retryable: ClassVar[bool] = True


class RunnerCancelledError(RunnerError):
    """The caller gave the run up. Nothing came of it."""

    code: ClassVar[str] = "runner.cancelled"


class OutputInvalidError(RunnerError):
    """The model's answer has a wrong type or shape, or holds a NaN or an infinity."""

    code: ClassVar[str] = "output.invalid"
