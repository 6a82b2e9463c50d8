"""The host's side of one runner: start it, load a release into it, ask it, end it."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighhouse.core.errors import WeighhouseError

from models_registry.runtime import answers, sandbox
from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerError,
    RunnerOutOfMemoryError,
    RunnerProtocolError,
)
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.plan import Plan
from models_registry.runtime.specs import RunnerSpec, RunResult
from models_registry.runtime.tasks import TASKS
from models_registry.runtime.wire import FrameError

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
_REPLY_OVERHEAD = 64 * 1024
_READY_LIMIT = 8 * 1024 * 1024


class Runner:
    """A sandboxed process that has one release loaded. Not thread-safe, except `kill`.

    After an error other than InputError the runner is dead; the caller makes another.
    """

    def __init__(
        self,
        plan: Plan,
        launcher: Launcher,
        spec: RunnerSpec,
        *,
        entry: str = sandbox.SERVE,
        spare: sandbox.Process | None = None,
    ) -> None:
        """Start and load, within the plan's `start_timeout_s`. `entry` is replaced by attacks in the tests.

        A `spare` has been launched without a model, and has said that it is locked; it is this runner's from here on.
        Raises ModelUnloadableError, RunnerDeadlineError, RunnerOutOfMemoryError, RunnerCrashedError,
        RunnerProtocolError, and `sandbox.NotGivenError` where a spare could not be given the release.
        """
        started = time.monotonic()
        until = started + plan.config.start_timeout_s
        self.spec, self.jobs = spec, 0
        self._plan = plan
        _versions(plan.config.libraries)
        self._process = spare or sandbox.launch(plan, launcher, entry=entry, model=spec.release_path)
        try:
            if spare is not None:
                sandbox.give(plan, spare, spec.release_path)
            else:
                self._send(sandbox.begin_options(plan), until=until)
                self._expect(self._receive(limit=_REPLY_OVERHEAD, until=until), "locked")
            self._send({"task": spec.task, "dtype": spec.dtype}, until=until)
            ready = self._expect(self._receive(limit=_READY_LIMIT, until=until), "ready")
            self.facts = answers.facts(ready, task=spec.task)
        except BaseException as error:
            # Closing waits for the end of the log, so what the process said last is in it.
            self._process.close()
            if isinstance(error, RunnerError):
                error.log = error.log or self._process.log.text()
            raise
        self.load_s = time.monotonic() - started

    @property
    def pid(self) -> int:
        """The launcher's process outside the sandbox."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether a request may be sent: the process lives and has not spoken unasked."""
        return self._process.is_alive() and self._process.channel.is_quiet()

    def memory_used(self) -> int:
        return self._process.memory_used()

    def log(self) -> str:
        """The end of what it printed, for the operator."""
        return self._process.log.text()

    def run(self, texts: list[str], parameters: Mapping[str, Any], *, until: float) -> RunResult:
        """Answer one validated request before the monotonic time `until`.

        Raises InputError (the runner lives on), RunnerDeadlineError, RunnerCrashedError, RunnerOutOfMemoryError,
        RunnerProtocolError, OutputInvalidError, RunnerError.
        """
        started = time.monotonic()
        # The id is not known before the request, so that an answer cannot be sent ahead of it.
        request = {"id": os.urandom(16), "inputs": texts, "parameters": dict(parameters)}
        self.jobs += 1
        try:
            if not self._process.channel.is_quiet():
                raise self._spoke_unasked()
            self._send(request, until=until)
            limit = TASKS[self.spec.task].max_reply_bytes + _REPLY_OVERHEAD
            reply = self._receive(limit=limit, until=until)
            if reply.get("id") != request["id"]:
                raise RunnerProtocolError("The runner answered another request. The runner was ended.")
            done = self._expect(reply, "done")
            return self._result(done, texts, parameters, started)
        except InputError:
            raise
        except BaseException as error:
            # Whatever interrupted the exchange, its answer must not be read as the next one's.
            self.close()
            if isinstance(error, RunnerError):
                error.log = error.log or self._process.log.text()
            raise

    def kill(self) -> None:
        """End it now, from any thread; a request in progress fails with RunnerCrashedError."""
        self._process.kill()

    def close(self) -> None:
        """End it and give back what it held."""
        self._process.close()

    def _result(
        self, done: answers.Message, texts: list[str], parameters: Mapping[str, Any], started: float
    ) -> RunResult:
        count = len(texts)
        return RunResult(
            outputs=answers.outputs(self.spec.task, done, count=count, known=self.facts),
            fingerprint=self._fingerprint(answers.batches(done, count=count), parameters),
            timings={"run_s": time.monotonic() - started},
            usage=answers.usage(done, count=count),
        )

    def _fingerprint(self, shapes: list[list[int]], parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "runtime": "weighhouse-runner/1",
            "python": platform.python_version(),
            "packages": dict(_versions(self._plan.config.libraries)),
            "release_digest": self.spec.digest,
            "task": self.spec.task,
            "dtype": self.spec.dtype,
            "device": self.facts["device"],
            "cpu_capability": self.facts["cpu_capability"],
            "seed": parameters.get("seed", 0),
            "threads": self._plan.config.threads,
            "isolation": self._plan.isolation,
            "batches": shapes,
        }

    def _send(self, message: dict[str, Any], *, until: float) -> None:
        try:
            self._process.channel.send(message, until=until)
        except TimeoutError as error:
            raise self._late() from error
        except OSError as error:
            raise self._ended() from error

    def _receive(self, *, limit: int, until: float) -> dict[str, Any]:
        try:
            return self._process.channel.receive(limit=limit, until=until)
        except TimeoutError as error:
            raise self._late() from error
        except FrameError as error:
            raise RunnerProtocolError(f"The runner sent no answer but {error}. The runner was ended.") from error
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def _expect(self, message: dict[str, Any], kind: str) -> dict[str, Any]:
        if message.get("kind") == kind:
            return message
        if message.get("kind") == "failed":
            raise self._failure(message)
        raise RunnerProtocolError("The runner sent another message than was due. The runner was ended.")

    def _failure(self, message: dict[str, Any]) -> WeighhouseError:
        return answers.failure(message)

    def _late(self) -> RunnerError:
        return RunnerDeadlineError("The model did not answer in time; it was stopped. Send less, or allow more time.")

    def _ended(self) -> RunnerError:
        """Why the other end is gone. Waits a moment for the process, so that the memory cap can be named."""
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
        if self._process.ran_out_of_memory():
            return RunnerOutOfMemoryError("The model needs more memory than one runner may have.")
        return RunnerCrashedError("The model's process ended without an answer. Try again.")

    def _spoke_unasked(self) -> RunnerError:
        if not self._process.is_alive():
            return self._ended()
        return RunnerProtocolError("The runner spoke unasked. The runner was ended.")


def weights_bytes(release: Path) -> int:
    """How large the release's weights are. Raises ModelUnloadableError where there are none."""
    total = sum(path.stat().st_size for path in release.rglob("*.safetensors"))
    if total == 0:
        raise ModelUnloadableError("The release holds no .safetensors file, so there are no weights to load.")
    return total


@functools.cache
def _versions(libraries: tuple[Path, ...]) -> dict[str, str]:
    """Of the bound libraries, read here: a runner's word on them would prove nothing."""
    found = importlib.metadata.distributions(path=[str(path) for path in libraries])
    versions = {distribution.name.lower(): distribution.version for distribution in found if distribution.name}
    return {name: versions[name] for name in _PACKAGES if name in versions}
