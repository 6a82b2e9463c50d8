"""The pool of runners: one per loaded release, within a memory budget."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models_registry.runtime import sandbox
from models_registry.runtime.errors import (
    InputError,
    ModelUnloadableError,
    RunnerBusyError,
    RunnerError,
    RunnerOutOfMemoryError,
)
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.runner import Runner, weights_bytes
from models_registry.runtime.specs import BASE_BYTES, DTYPES, MIB, RunnerSpec, RunResult, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from models_registry.runtime.tasks import TASKS

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]


class _Slot:
    """A release's place. `turn` is held while its runner is used or started."""

    def __init__(self, charge: int) -> None:
        self.turn = threading.Lock()
        self.runner: Runner | None = None
        self.charge = charge
        self.users = 0
        self.is_charged = False  # room is taken, from before the start until the end
        self.is_measured = False
        self.last_used = 0.0


class RunnerPool:
    """Runs models in sandboxes. Thread-safe; belongs to the process that made it, which closes it.

    `memory_bytes` is what all runners may use together, estimated from the weights until a runner has
    run and measured after. The least recently used idle runner makes room. A runner is replaced after
    `recycle_after` jobs. `spares` processes without a release are kept ready where there is room beside the runners.
    """

    def __init__(self, config: SandboxConfig, *, memory_bytes: int, recycle_after: int = 1000, spares: int = 0) -> None:
        """Tries a sandbox first. Raises SandboxUnavailable where this machine cannot isolate a model."""
        self.plan = sandbox.require(config)
        self._memory_bytes, self._recycle_after = memory_bytes, recycle_after
        self._pid = os.getpid()
        self._launcher = Launcher()
        self._slots: dict[Key, _Slot] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._starter = RunnerStarter(self.plan, self._launcher, spares=spares, room=self._room)

    def run(self, spec: RunnerSpec, inputs: Any, parameters: Any, deadline_s: float) -> RunResult:
        """Run a model once.

        1. Check inputs and parameters against the task's table.
        2. Wait for the release's turn and for room, `deadline_s` at most. Waiting harms no runner: it ends in
           RunnerBusyError, which may be tried again.
        3. Run. The run has all of `deadline_s`, from its turn on; what others took is not counted against it.
           Starting a runner is not counted either; it has the configuration's `start_timeout_s`.
        4. Check the answer. Any failure but a refused input ends the runner; the next call starts another.

        Raises InputError, ModelUnloadableError, RunnerDeadlineError, RunnerCrashedError, RunnerBusyError,
        RunnerOutOfMemoryError, RunnerProtocolError, OutputInvalidError, RunnerError, SandboxUnavailable.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("A pool belongs to the process that made it; make one after the fork.")
        texts, checked = _validated(spec, inputs, parameters)
        started = time.monotonic()
        slot = self._enter(spec)
        try:
            if not slot.turn.acquire(timeout=max(0.0, deadline_s)):
                raise RunnerBusyError("Other runs of this model took all the time that this one had. Try again.")
            try:
                return self._run(spec, slot, texts, parameters=checked, started=started, deadline_s=deadline_s)
            finally:
                slot.turn.release()
        finally:
            self._leave(spec, slot)

    def pids(self) -> dict[Key, int]:
        """The process outside the sandbox of each live runner, for operators and tests."""
        with self._changed:
            runners = {key: slot.runner for key, slot in self._slots.items()}
        return {key: runner.pid for key, runner in runners.items() if runner is not None}

    def close(self) -> None:
        """End every runner, busy ones too; their callers get RunnerCrashedError. May be called twice."""
        with self._changed:
            self._is_closed = True
            slots = list(self._slots.values())
            self._changed.notify_all()
        for slot in slots:
            if slot.runner is not None:
                slot.runner.kill()
        for slot in slots:
            with slot.turn:
                if slot.runner is not None:
                    slot.runner.close()
                    slot.runner = None
        self._starter.close()
        self._launcher.close()

    def _run(
        self,
        spec: RunnerSpec,
        slot: _Slot,
        texts: list[str],
        *,
        parameters: Mapping[str, Any],
        started: float,
        deadline_s: float,
    ) -> RunResult:
        """Run in the release's turn. `started` is when the call began to wait for it."""
        load_s = 0.0
        if slot.runner is not None and not slot.runner.is_alive():
            logger.warning("runner of %s is gone; its log ends: %s", spec.digest, slot.runner.log()[-2000:])
            self._drop(slot)
        if self._is_closed:
            raise RunnerBusyError("This worker is shutting down. Try again.")
        if slot.runner is None:
            self._make_room(slot, until=started + deadline_s)
            before = time.monotonic()
            slot.runner = self._started(spec, slot)
            load_s = time.monotonic() - before
        try:
            result = slot.runner.run(texts, parameters, until=time.monotonic() + deadline_s)
        except InputError:
            raise
        except BaseException as error:
            if isinstance(error, RunnerError):
                logger.warning("%s on %s; the runner's log ends: %s", error.code, spec.digest, error.log[-2000:])
            self._drop(slot)
            raise
        timings = {**result.timings, "load_s": load_s}
        timings["wait_s"] = max(0.0, time.monotonic() - started - load_s - timings["run_s"])
        self._settle(slot)
        return replace(result, timings=timings)

    def _started(self, spec: RunnerSpec, slot: _Slot) -> Runner:
        try:
            return self._starter.start(spec)
        except BaseException as error:
            slot.is_charged = False
            if isinstance(error, RunnerError):
                logger.warning("%s did not load (%s); the log ends: %s", spec.digest, error.code, error.log[-2000:])
            raise

    def _enter(self, spec: RunnerSpec) -> _Slot:
        charge = BASE_BYTES + 2 * weights_bytes(spec.release_path)
        with self._changed:
            if self._is_closed:
                raise RunnerBusyError("This worker is shutting down. Try again.")
            if spec.key not in self._slots:
                self._slots[spec.key] = _Slot(charge)
            slot = self._slots[spec.key]
            slot.users += 1
            return slot

    def _leave(self, spec: RunnerSpec, slot: _Slot) -> None:
        with self._changed:
            slot.users -= 1
            slot.last_used = time.monotonic()
            if slot.users == 0 and slot.runner is None and self._slots.get(spec.key) is slot:
                del self._slots[spec.key]
            self._changed.notify_all()

    def _room(self) -> int:
        """Bytes that runners leave free."""
        with self._changed:
            return self._memory_bytes - sum(slot.charge for slot in self._slots.values() if slot.is_charged)

    def _make_room(self, slot: _Slot, *, until: float) -> None:
        """Evict idle runners until the slot's charge fits. Raises RunnerOutOfMemoryError, RunnerBusyError."""
        if slot.charge > self._memory_bytes:
            raise RunnerOutOfMemoryError(
                f"The model needs about {slot.charge // MIB} MiB; this worker may use {self._memory_bytes // MIB} MiB."
            )
        while True:
            with self._changed:
                if self._is_closed:
                    raise RunnerBusyError("This worker is shutting down. Try again.")
                used = sum(other.charge for other in self._slots.values() if other.is_charged)
                if used + slot.charge <= self._memory_bytes:
                    slot.is_charged = True
                    return
                idle = [(key, other) for key, other in self._slots.items() if other.users == 0 and other.is_charged]
                if not idle:
                    if not self._changed.wait(max(0.0, until - time.monotonic())):
                        raise RunnerBusyError("No room for one more model came free in time. Try again.")
                    continue
                key, victim = min(idle, key=lambda entry: entry[1].last_used)
                del self._slots[key]
            self._drop(victim)

    def _settle(self, slot: _Slot) -> None:
        """After a good run: charge what is used in fact, replace what is old."""
        if slot.runner is None:
            return
        if slot.runner.jobs >= self._recycle_after:
            self._drop(slot)
            return
        used = slot.runner.memory_used()
        slot.charge = max(slot.charge, used) if slot.is_measured else max(used, BASE_BYTES // 2)
        slot.is_measured = True

    def _drop(self, slot: _Slot) -> None:
        runner, slot.runner = slot.runner, None
        slot.is_charged = False
        if runner is not None:
            runner.close()


def _validated(spec: RunnerSpec, inputs: Any, parameters: Any) -> tuple[list[str], dict[str, Any]]:
    if spec.task not in TASKS:
        raise ModelUnloadableError(f"There is no task {ascii(spec.task)[:60]}. There are: {', '.join(TASKS)}.")
    if spec.dtype not in DTYPES:
        raise ModelUnloadableError(f"Models run in {', '.join(DTYPES)}; {ascii(spec.dtype)[:60]} was asked for.")
    task = TASKS[spec.task]
    return task.validate_inputs(inputs), task.validate_parameters(parameters)
