"""The host's side of one runner: start it, load a release into it, ask it, end it."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models_registry.runtime import accelerators, answers, joining, sandbox
from models_registry.runtime.errors import (
    ModelUnloadableError,
    RunnerCancelledError,
    RunnerCrashedError,
    RunnerDeadlineError,
    RunnerError,
    RunnerOutOfMemoryError,
    RunnerProtocolError,
)
from models_registry.runtime.exchange import CANCELLED, OnText, Pieces, Stop
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.plan import Plan
from models_registry.runtime.replies import Message
from models_registry.runtime.specs import RunnerSpec, RunResult
from models_registry.runtime.tasks import TASKS
from models_registry.runtime.wire import FrameError

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")
_REPLY_OVERHEAD = 64 * 1024
_SHORTEST_GRACE_S, _LONGEST_GRACE_S = 1.0, 5.0
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
        timeout_s: float | None = None,
        on_launched: Callable[[sandbox.Process], None] = lambda process: None,
    ) -> None:
        """Start and load, within `timeout_s` or the plan's `start_timeout_s`. `entry` is replaced by attacks in tests.

        `on_launched` is called with the process before anything is asked of it.

        A `spare` has been launched without a model, and has said that it is locked; it is this runner's from here on.
        Raises ModelUnloadableError, RunnerDeadlineError, RunnerOutOfMemoryError, RunnerCrashedError,
        RunnerProtocolError, and `sandbox.NotGivenError` where a spare could not be given the release.
        """
        started = time.monotonic()
        until = started + (timeout_s or plan.config.start_timeout_s)
        self.spec, self.jobs = spec, 0
        self._is_closed = self._lives_on = False
        self.facts: dict[str, Any] = {}
        self._plan = plan
        _versions(plan.config.libraries)
        self._process = spare or sandbox.launch(plan, launcher, entry=entry, model=spec.release_path)
        try:
            on_launched(self._process)
            if spare is not None:
                sandbox.give(plan, spare, spec.release_path)
            else:
                self._send(sandbox.begin_options(plan), until=until)
                self._expect(self._receive(limit=_REPLY_OVERHEAD, until=until), "locked")
            self._send({"task": spec.task, "dtype": spec.dtype}, until=until)
            ready = self._expect(self._receive(limit=_READY_LIMIT, until=until), "ready")
            self.facts = answers.facts(ready, task=spec.task)
            self.facts |= accelerators.facts(ready, is_given=bool(plan.config.devices), dtype=spec.dtype)
            self._surroundings = self._look_around()
        except BaseException as error:
            # Closing waits for the end of the log, so what the process said last is in it.
            self._process.close()
            if isinstance(error, RunnerError):
                error.log = error.log or self._process.log.text()
            raise
        self.load_s = time.monotonic() - started

    @property
    def is_closed(self) -> bool:
        """Whether it was ended by its owner or by an error."""
        return self._is_closed

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

    def run(
        self,
        inputs: list[Any],
        parameters: Mapping[str, Any],
        *,
        until: float,
        on_text: OnText | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> RunResult:
        """Answer one validated request before the monotonic time `until`.

        `on_text` gets pieces of generated text as they come. Once `is_cancelled` says so, the run ends: between two
        tokens or batches, or, where the runner does not react, with the runner after a few seconds.

        Raises InputError and RunnerCancelledError (the runner lives on, where it stopped by itself),
        RunnerDeadlineError, RunnerCrashedError, RunnerOutOfMemoryError, RunnerProtocolError, OutputInvalidError,
        RunnerError, and what `on_text` raises.
        """
        (result,) = self.run_joined([inputs], parameters, until=until, on_text=on_text, is_cancelled=is_cancelled)
        return result

    def run_joined(
        self,
        calls: list[list[Any]],
        parameters: Mapping[str, Any],
        *,
        until: float,
        on_text: OnText | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
        on_sent: Callable[[], None] = lambda: None,
    ) -> list[RunResult]:
        """As `run`, for several callers in one request; one result each. `on_sent` is called once it was sent.

        Raises JoinedRefusal (the runner lives on) where inputs of some were refused.
        """
        started = time.monotonic()
        inputs = [value for call in calls for value in call]
        self.jobs += len(calls)
        self._lives_on = False
        try:
            reply = self._ask(
                inputs, parameters, until=until, on_text=on_text, is_cancelled=is_cancelled, on_sent=on_sent
            )
            if len(calls) > 1 and _is_refusal(reply):
                raise joining.JoinedRefusal(joining.refused_positions(reply, count=len(inputs)))
            done = self._expect(reply, "done", count=len(inputs))
            return self._results(done, calls, parameters, started)
        except BaseException as error:
            # Whatever interrupted the exchange, its answer must not be read as the next one's.
            if not self._lives_on or isinstance(error, RunnerProtocolError):
                self.close()
            if isinstance(error, RunnerError):
                error.log = error.log or self._process.log.text()
            raise

    def kill(self) -> None:
        """End it now, from any thread; a request in progress fails with RunnerCrashedError."""
        self._process.kill()

    def close(self) -> None:
        """End it and give back what it held."""
        self._is_closed = True
        self._process.close()

    def _ask(
        self,
        inputs: list[Any],
        parameters: Mapping[str, Any],
        *,
        until: float,
        on_text: OnText | None,
        is_cancelled: Callable[[], bool],
        on_sent: Callable[[], None],
    ) -> dict[str, Any]:
        """Send a request and return its last word, `done` or `failed`; pieces of text are handed on before."""
        if not self._process.channel.is_quiet():
            raise self._spoke_unasked()
        if is_cancelled():
            self._lives_on = True  # it knows of nothing yet
            raise RunnerCancelledError(CANCELLED)
        # The id is not known before the request, so that an answer cannot be sent ahead of it.
        identity = os.urandom(16)
        task = TASKS[self.spec.task]
        request = {
            "id": identity,
            "inputs": task.wire_inputs(inputs),
            "parameters": dict(parameters),
            "streams": on_text is not None,
        }
        most_bytes = task.max_reply_bytes
        pieces = _pieces(on_text, len(inputs), parameters, most_bytes) if on_text is not None else None
        stop = Stop(
            tell=lambda: self._process.channel.send({"cancel": identity}, until=time.monotonic() + _SHORTEST_GRACE_S),
            is_cancelled=is_cancelled,
            # Longer than a new start takes it is not worth waiting for.
            grace_s=max(_SHORTEST_GRACE_S, min(self.load_s, _LONGEST_GRACE_S)),
        )
        self._send(request, until=until, look=stop.look_early)
        on_sent()
        while True:
            reply = self._receive(limit=most_bytes + _REPLY_OVERHEAD, until=until, look=stop.look)
            if reply.get("id") != identity:
                raise RunnerProtocolError("The runner answered another request. The runner was ended.")
            if pieces is None or reply.get("kind") != "part":
                break
            pieces.take(reply, stop)
        self._lives_on = stop.reason is not None or _is_refusal(reply)
        if stop.reason is not None:
            raise stop.reason
        if pieces is not None and reply.get("kind") == "done":
            pieces.check(self._outputs(reply, inputs, parameters))
        return reply

    def _results(
        self, done: Message, calls: list[list[Any]], parameters: Mapping[str, Any], started: float
    ) -> list[RunResult]:
        counts = list(map(len, calls))
        count = sum(counts)
        outputs = self._outputs(done, [value for call in calls for value in call], parameters)
        most = answers.rows_most(self.spec.task, count=count, parameters=parameters)
        shapes, usage = answers.batches(done, count=count, most=most), answers.usage(done, count=count)
        shares = [joining.Share(slice(None), usage, shapes)]
        if len(calls) > 1:
            shares = joining.shares(done, counts, usage=usage, batches=shapes)
        run_s = time.monotonic() - started
        return [
            RunResult(
                outputs=outputs[share.rows],
                fingerprint=self._fingerprint(share.batches, parameters),
                timings={"run_s": run_s},
                usage=share.usage,
            )
            for share in shares
        ]

    def _outputs(self, done: Message, inputs: list[Any], parameters: Mapping[str, Any]) -> list[Any]:
        return answers.outputs(
            self.spec.task, done, count=len(inputs), known=self.facts, inputs=inputs, parameters=parameters
        )

    def _fingerprint(self, shapes: list[list[int]], parameters: Mapping[str, Any]) -> dict[str, Any]:
        fixed = self._surroundings
        copies: dict[str, Any] = {name: {**fixed[name]} for name in ("packages", "accelerator") if name in fixed}
        return {**fixed, **copies, "seed": parameters.get("seed", 0), "batches": shapes}

    def _look_around(self) -> dict[str, Any]:
        """What is the same in the fingerprint of every run."""
        card = self.facts.get("accelerator", {})
        return {
            "runtime": "weighhouse-runner/1",
            "python": platform.python_version(),
            "packages": _versions(self._plan.config.libraries),
            "release_digest": self.spec.digest,
            "task": self.spec.task,
            "dtype": card.get("dtype", self.spec.dtype),
            "device": self.facts["device"],
            **({"accelerator": card} if card else {}),
            "cpu_capability": self.facts["cpu_capability"],
            "threads": self._plan.config.threads,
            "isolation": self._plan.isolation,
            # Whether the runner served no other licence.
            "dedicated": bool(self.spec.dedicated_to),
        }

    def _send(self, message: dict[str, Any], *, until: float, look: Callable[[], None] | None = None) -> None:
        try:
            self._process.channel.send(message, until=until, look=look)
        except TimeoutError as error:
            raise self._late() from error
        except OSError as error:
            raise self._ended() from error

    def _receive(self, *, limit: int, until: float, look: Callable[[], None] | None = None) -> dict[str, Any]:
        try:
            return self._process.channel.receive(limit=limit, until=until, look=look)
        except TimeoutError as error:
            raise self._late() from error
        except FrameError as error:
            raise RunnerProtocolError(f"The runner sent no answer but {error}. The runner was ended.") from error
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def _expect(self, message: dict[str, Any], kind: str, *, count: int = 0) -> dict[str, Any]:
        """The message, where it is of the kind. Raises what it says went wrong; `count` inputs were asked about."""
        if message.get("kind") == kind:
            return message
        if message.get("kind") == "failed":
            raise answers.failure(message, task=self.spec.task, known=self.facts, count=count)
        raise RunnerProtocolError("The runner sent another message than was due. The runner was ended.")

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


def _is_refusal(reply: Message) -> bool:
    """Whether the runner says that inputs are at fault: found before anything was computed, so that it may live on."""
    if reply.get("kind") != "failed":
        return False
    return reply.get("code") == "input.invalid" or reply.get("reason") == "vocabulary"


def _pieces(on_text: OnText, count: int, parameters: Mapping[str, Any], most_bytes: int) -> Pieces:
    most_pieces = count * (int(parameters.get("max_new_tokens", 0)) + 1)
    return Pieces(on_text, count=count, most_pieces=most_pieces, most_bytes=most_bytes)


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
