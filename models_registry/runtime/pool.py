"""The pool of runners: one per loaded release, within a memory budget."""

import logging
import os
import threading
import time
from dataclasses import replace
from typing import Any

from models_registry.runtime import joining, sandbox
from models_registry.runtime.errors import ModelUnloadableError, RunnerError
from models_registry.runtime.exchange import OnText
from models_registry.runtime.joining import JoinedRefusal
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.room import Holder, Room
from models_registry.runtime.runner import Runner, weights_bytes
from models_registry.runtime.specs import BASE_BYTES, DTYPES, RunnerSpec, RunResult, SandboxConfig
from models_registry.runtime.starter import RunnerStarter
from models_registry.runtime.tasks import TASKS
from models_registry.runtime.turns import Call, Suspects, Turns, rows_for
from models_registry.runtime.warming import Warming

logger = logging.getLogger(__name__)

Key = tuple[str, str, str, str]


class _Slot(Holder):
    """A release's place. `turns` says who is next; `turn` is held while its runner is used or started."""

    def __init__(self, charge: int, *, key: Key, turns: Turns) -> None:
        super().__init__(charge)
        self.key = key
        self.turns = turns
        self.turn = threading.Lock()
        self.runner: Runner | None = None
        self.is_measured = False
        self.warming: Warming | None = None  # while its release is loaded though no call waits

    def make_way(self) -> bool:
        """A load that no call waits for ends; one that a call has come for goes on."""
        ends = self.warming is not None and self.users == 1
        if self.warming is not None and ends:
            self.warming.stop()
        return ends


class RunnerPool:
    """Runs models in sandboxes. Thread-safe; belongs to the process that made it, which closes it.

    `memory_bytes` is what all runners may use together, estimated from the weights until a runner has
    run and measured after; `room.Room` says who makes room. A runner is replaced after `recycle_after` jobs.
    `most_waiting` calls may wait for one runner. `spares` processes without a release are kept ready where there is
    room beside the runners.
    """

    def __init__(
        self,
        config: SandboxConfig,
        *,
        memory_bytes: int,
        recycle_after: int = 1000,
        most_waiting: int = 64,
        spares: int = 0,
    ) -> None:
        """Tries a sandbox first. Raises SandboxUnavailable where this machine cannot isolate a model."""
        self.plan = sandbox.require(config)
        self._recycle_after, self._most_waiting = recycle_after, most_waiting
        self._pid = os.getpid()
        self._launcher = Launcher()
        self._suspects = Suspects()
        self._slots: dict[Key, _Slot] = {}
        self._memory = Room(memory_bytes, self._slots)
        self._spares = spares
        self._starter = RunnerStarter(self.plan, self._launcher, spares=spares, room=self._memory.free)

    def run(
        self,
        spec: RunnerSpec,
        inputs: Any,
        parameters: Any,
        deadline_s: float,
        *,
        buyer: str = "",
        on_text: OnText | None = None,
        cancelled: threading.Event | None = None,
    ) -> RunResult:
        """Run a model once.

        1. Check inputs and parameters against the task's table.
        2. Wait for the turn and for room, `deadline_s` at most. Turns go from `buyer` to buyer (`Turns`). Waiting
           harms no runner: it ends in RunnerBusyError, which may be tried again.
        3. Run, together with calls of equal parameters that wait too, where the task allows it. The run has all of
           `deadline_s`, from its turn on; what others took is not counted against it. Starting a runner is not
           counted either; it has the configuration's `start_timeout_s`.
        4. Check the answer. Any failure but a refused input ends the runner; the next call starts another. Where
           several calls ran together, each of them runs again alone, and gets the error that is its own.

        `on_text(position, text)` gets generated text in pieces, in order, which together are the texts of the result.
        Once `cancelled` is set the call ends; a model that is at work on it has some seconds to stop.

        Raises InputError, ModelUnloadableError, RunnerDeadlineError, RunnerCrashedError, RunnerBusyError,
        RunnerCancelledError, RunnerOutOfMemoryError, RunnerProtocolError, OutputInvalidError, RunnerError,
        SandboxUnavailable, and what `on_text` raises.
        """
        self._require_own()
        checked_inputs, checked = _validated(spec, inputs, parameters)
        task = TASKS[spec.task]
        call = Call(
            checked_inputs,
            checked,
            deadline_s,
            buyer=buyer,
            joins=task.joins and not checked.get("explain") and (spec.key, buyer) not in self._suspects,
            on_text=on_text if task.streams else None,
            cancelled=cancelled,
        )
        slot = self._enter(spec)
        try:
            warming = slot.warming
            if warming is not None:
                warming.hurry()
            return self._answer(spec, slot, call)
        finally:
            self._leave(spec, slot)

    def warm(self, spec: RunnerSpec) -> bool:
        """Load a release that no call wants yet. Returns whether it is loaded now.

        1. Only into room that nobody has or waits for, spares aside: no runner is ended for it.
        2. At low priority, as spares are started. A call for the release waits for the load, which is then hurried; one
           that needs the room ends it.
        3. Until a call has used it, the runner is the first that makes room.

        Raises what `run` raises for a release that cannot be loaded, and RunnerCrashedError where it was ended.
        """
        self._require_own()
        slot = self._enter(spec)
        try:
            if not slot.turn.acquire(blocking=False):
                return False
            try:
                return slot.runner is not None or self._warmed(spec, slot)
            finally:
                if slot.gives_way:
                    self._drop(slot)
                slot.turn.release()
        finally:
            self._leave(spec, slot, was_used=False)

    def pids(self) -> dict[Key, int]:
        """The process outside the sandbox of each live runner, for operators and tests."""
        with self._memory.changed:
            runners = {key: slot.runner for key, slot in self._slots.items()}
        return {key: runner.pid for key, runner in runners.items() if runner is not None}

    def close(self) -> None:
        """End every runner, busy ones too; their callers get RunnerCrashedError. May be called twice."""
        with self._memory.changed:
            self._memory.is_closed = True
            slots = list(self._slots.values())
            for slot in slots:
                if slot.warming is not None:
                    slot.warming.stop()
            self._memory.changed.notify_all()
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

    def _require_own(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("A pool belongs to the process that made it; make one after the fork.")

    def _warmed(self, spec: RunnerSpec, slot: _Slot) -> bool:
        """Load into an empty slot whose turn is held. False where there is no room."""
        slot.warming = warming = Warming(self.plan.config.start_timeout_s)
        try:
            if slot.users > 1:  # who came before this was set
                warming.hurry()
            if not self._memory.take_idle(slot, beside=self._spares * BASE_BYTES):
                return False
            try:
                slot.runner = warming.load(self.plan, self._launcher, spec)
            except BaseException:
                self._memory.give_back(slot)
                raise
        finally:
            slot.warming = None
        return True

    def _answer(self, spec: RunnerSpec, slot: _Slot, call: Call) -> RunResult:
        slot.turns.enter(call)
        try:
            while slot.turns.wait(call):
                answers = self._lead(spec, slot, call)
                if answers:
                    # The runner is at the next request while these are handed out.
                    slot.turns.pass_on(call)
                _hand_out(answers)
                slot.turns.release(call)
        except BaseException:
            slot.turns.leave(call)
            raise
        return call.result()

    def _lead(self, spec: RunnerSpec, slot: _Slot, call: Call) -> list[tuple[Call, RunResult]]:
        """A turn: make sure that there is a runner, and run what may run together.

        Returns what is to be handed out: nothing where the calls wait again, or have their answers.

        The turn lasts until the answer is checked, so that a runner which lied is given no other request.
        """
        if not slot.turn.acquire(timeout=max(0.0, call.until - time.monotonic())):
            raise slot.turns.busy("Other runs of this model took all the time that this one had.")
        try:
            runner, load_s = self._ready(spec, slot, until=call.until)
            calls = slot.turns.gather(call)
            try:
                answers = self._run(runner, calls, load_s)
            except BaseException as error:
                if runner.is_closed:
                    self._drop(slot)
                if not self._is_settled(slot, calls, error):
                    raise
                return []
            if slot.gives_way or runner.jobs >= self._recycle_after:
                # The runner ends, so that no request waits for these to be handed out; nor shall they wait for its end.
                _hand_out(answers)
                answers = []
            self._settle(slot)
            return answers
        finally:
            try:
                if slot.gives_way:
                    # Whoever waits for this model waits in line with the others.
                    self._drop(slot)
            finally:
                slot.turn.release()

    def _ready(self, spec: RunnerSpec, slot: _Slot, *, until: float) -> tuple[Runner, float]:
        """A live runner, and the seconds that its start took, 0 where it was warm."""
        if slot.runner is not None and not slot.runner.is_alive():
            logger.warning("runner of %s is gone; its log ends: %s", spec.digest, slot.runner.log()[-2000:])
            self._drop(slot)
        self._memory.check_open()
        if slot.runner is not None:
            return slot.runner, 0.0
        self._memory.take(slot, until=until, evict=self._drop)
        before = time.monotonic()
        slot.runner = self._started(spec, slot)
        return slot.runner, time.monotonic() - before

    def _run(self, runner: Runner, calls: list[Call], load_s: float) -> list[tuple[Call, RunResult]]:
        """One request for all calls, and the result of each."""
        leader = calls[0]
        results = runner.run_joined(
            [call.inputs for call in calls],
            leader.parameters,
            until=time.monotonic() + min(call.deadline_s for call in calls),
            on_text=leader.on_text,
            is_cancelled=lambda: all(call.is_cancelled() for call in calls),
            on_sent=leader.is_under_way.set,
        )
        now = time.monotonic()
        return [
            (call, _with_waits(result, call, now=now, load_s=load_s if call is leader else 0.0))
            for call, result in zip(calls, results, strict=True)
        ]

    def _is_settled(self, slot: _Slot, calls: list[Call], error: BaseException) -> bool:
        """Whether a failure is no call's own yet: those that ran together wait again, each for a turn of its own.

        So an input that ends the runner ends it alone at last, and fails nobody else.
        """
        is_gone = slot.runner is None and not self._memory.is_closed
        if isinstance(error, RunnerError) and is_gone:
            logger.warning("%s on %s; the runner's log ends: %s", error.code, slot.key[0], error.log[-2000:])
        if len(calls) == 1:
            if isinstance(error, RunnerError) and is_gone:
                self._suspects.add((slot.key, calls[0].buyer))
                slot.turns.separate(calls[0].buyer)
            return False
        if isinstance(error, JoinedRefusal):
            slot.turns.put_back(calls, alone=_at_fault(calls, error))
        elif isinstance(error, Exception):
            slot.turns.put_back(calls, alone=set(calls))
        # Else the leader's thread was interrupted: nobody is at fault, and `release` sees to the others.
        return isinstance(error, Exception)

    def _started(self, spec: RunnerSpec, slot: _Slot) -> Runner:
        try:
            return self._starter.start(spec)
        except BaseException as error:
            self._memory.give_back(slot)
            if isinstance(error, RunnerError):
                logger.warning("%s did not load (%s); the log ends: %s", spec.digest, error.code, error.log[-2000:])
            raise

    def _enter(self, spec: RunnerSpec) -> _Slot:
        # Before the lock is held, as it may read a disk.
        charge = 0 if spec.key in self._slots else _charge(spec)
        with self._memory.changed:
            self._memory.check_open()
            slot = self._slots.get(spec.key)
            if slot is None:
                rows = rows_for(self.plan.config.threads, has_accelerator=bool(self.plan.config.devices))
                turns = Turns(most_waiting=self._most_waiting, most_rows=rows)
                slot = _Slot(charge or _charge(spec), key=spec.key, turns=turns)
                self._slots[spec.key] = slot
            slot.users += 1
            return slot

    def _leave(self, spec: RunnerSpec, slot: _Slot, *, was_used: bool = True) -> None:
        with self._memory.changed:
            slot.users -= 1
            if was_used:
                slot.last_used = time.monotonic()
            if slot.users == 0 and slot.runner is None and self._slots.get(spec.key) is slot:
                del self._slots[spec.key]
            self._memory.changed.notify_all()

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
        try:
            if runner is not None:
                runner.close()
        finally:
            self._memory.give_back(slot)


def _charge(spec: RunnerSpec) -> int:
    """Bytes that a runner is estimated to use. Raises ModelUnloadableError where there are no weights."""
    return BASE_BYTES + 2 * weights_bytes(spec.release_path)


def _with_waits(result: RunResult, call: Call, *, now: float, load_s: float) -> RunResult:
    timings = {**result.timings, "load_s": load_s}
    wait_s = max(0.0, now - call.asked_at - sum(timings.values()))
    return replace(result, timings={**timings, "wait_s": wait_s})


def _hand_out(answers: list[tuple[Call, RunResult]]) -> None:
    for call, result in answers:
        call.end(result)


def _at_fault(calls: list[Call], refusal: JoinedRefusal) -> set[Call]:
    spans = joining.spans([len(call.inputs) for call in calls])
    refused = [range(span.start, span.stop) for span in spans]
    return {
        call
        for call, positions in zip(calls, refused, strict=True)
        if any(position in positions for position in refusal.positions)
    }


def _validated(spec: RunnerSpec, inputs: Any, parameters: Any) -> tuple[list[Any], dict[str, Any]]:
    if spec.task not in TASKS:
        raise ModelUnloadableError(f"There is no task {ascii(spec.task)[:60]}. There are: {', '.join(TASKS)}.")
    if spec.dtype not in DTYPES:
        raise ModelUnloadableError(f"Models run in {', '.join(DTYPES)}; {ascii(spec.dtype)[:60]} was asked for.")
    task = TASKS[spec.task]
    checked = task.validate_inputs(inputs), task.validate_parameters(parameters)
    task.check_together(*checked)
    return checked
