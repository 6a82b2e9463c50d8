"""Starting runners fast: out of spare processes that have done everything which needs no release."""

import logging
import os
import threading
import time
from collections.abc import Callable

from models_registry.runtime import sandbox
from models_registry.runtime.background import Background
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.plan import Plan
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import BASE_BYTES, RunnerSpec
from models_registry.runtime.wire import FrameError

logger = logging.getLogger(__name__)

_LOCKED_LIMIT = 64 * 1024
_LOOK_AGAIN_S = 5.0
_RETRY_S = 60.0
_PATIENCE = 5  # how much longer a start in the background may take


class RunnerStarter:
    """Starts runners. Thread-safe; belongs to the process that made it, which closes it.

    A spare is a sandbox of its own, with a user, a control group and namespaces of its own, that has imported its
    libraries, locked itself in and met no release. The first release that is mounted into it is its only one: a spare
    is used once. `room` says how many bytes are free beside all runners; spares live in that room and leave it when
    runners need it.
    """

    def __init__(
        self,
        plan: Plan,
        launcher: Launcher,
        *,
        spares: int = 0,
        room: Callable[[], int] | None = None,
        entry: str = sandbox.SERVE,
    ) -> None:
        """`spares` are kept ready; 0 starts every runner anew. `entry` is replaced by attacks in the tests."""
        self._plan, self._launcher, self._entry = plan, launcher, entry
        self._wanted, self._room = spares, room or (lambda: spares * BASE_BYTES)
        self._changed = threading.Condition()
        self._ready: list[sandbox.Process] = []
        self._coming: sandbox.Process | None = None
        self._background: Background | None = None  # of the one that is coming
        self._is_awaited = False  # the one that is coming is a runner's already
        self._starts = 0  # of runners, under way
        self._not_before = 0.0
        self._is_closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._keep_ready, name="runner-spares", daemon=True)
        if spares:
            self._thread.start()

    def start(self, spec: RunnerSpec) -> Runner:
        """A runner that has the release loaded; out of a spare where one is ready.

        Room for the runner has been made already; spares for which there is none any more are ended.
        Raises what `Runner` raises.
        """
        with self._changed:
            self._starts += 1
        try:
            spare = self._take()
            self._shrink()
            if spare is not None:
                try:
                    return Runner(self._plan, self._launcher, spec, spare=spare)
                except sandbox.NotGivenError as error:
                    self._not_given(error)
            return Runner(self._plan, self._launcher, spec, entry=self._entry)
        finally:
            with self._changed:
                self._starts -= 1
                self._changed.notify_all()

    def spare_pids(self) -> list[int]:
        """The processes outside the sandbox of the spares that are ready, for operators and tests."""
        with self._changed:
            return [process.pid for process in self._ready]

    def close(self) -> None:
        """End the spares. Runners that were started live on. May be called twice."""
        with self._changed:
            self._is_closed = True
            ended, self._ready = self._ready, []
            if self._coming is not None:
                self._coming.kill()
            self._changed.notify_all()
        for process in ended:
            process.close()
        if self._thread.is_alive():
            self._thread.join()

    def _take(self) -> sandbox.Process | None:
        """A spare that lives and has said nothing unasked."""
        if os.getpid() != self._pid:
            raise RuntimeError("A starter belongs to the process that made it; make one after the fork.")
        while True:
            with self._changed:
                if not self._ready:
                    self._hurry()
                if not self._ready:
                    return None
                spare = self._ready.pop()
            if _is_good(spare):
                return spare
            spare.close()

    def _hurry(self) -> None:
        """Wait for the spare that is coming, which is ahead of any that would be started now."""
        if self._background is None or self._is_awaited:
            return
        self._is_awaited = True
        self._background.end()
        timeout_s = self._plan.config.start_timeout_s
        self._changed.wait_for(lambda: self._ready or self._coming is None, timeout=timeout_s)
        self._is_awaited = False

    def _shrink(self) -> None:
        """End spares until the rest fit into the room that runners leave. One that is still coming goes first."""
        while True:
            room = self._room()
            with self._changed:
                is_coming = self._coming is not None and not self._is_awaited
                held = len(self._ready) + is_coming
                if held * BASE_BYTES <= room or held == 0:
                    return
                if is_coming and self._coming is not None:
                    self._coming.kill()
                    self._coming = None
                    continue
                spare = self._ready.pop()
            spare.close()

    def _not_given(self, error: sandbox.NotGivenError) -> None:
        """No spares any more where this machine does not permit what they need."""
        if error.is_permitted:
            logger.warning("A spare runner could not be used (%s); another one is started.", error)
            return
        logger.warning("Spare runners are off: a release cannot be mounted into a running sandbox here (%s).", error)
        with self._changed:
            self._wanted = 0
            ended, self._ready = self._ready, []
        for process in ended:
            process.close()

    def _keep_ready(self) -> None:
        """The thread.

        1. Wait until a spare is missing, no runner is being started, and there is room for one more.
        2. Start it in the background. Another failure is tried again after a while.
        3. Keep it, unless its room was given to a runner meanwhile.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._is_missing(), timeout=_LOOK_AGAIN_S)
                if self._is_closed:
                    return
                dead = [process for process in self._ready if not _is_good(process)]
                self._ready = [process for process in self._ready if process not in dead]
                held, is_missing = len(self._ready), self._is_missing()
            for process in dead:
                process.close()
            if not is_missing:
                continue
            if self._room() >= (held + 1) * BASE_BYTES:
                self._add()
            else:
                self._not_before = time.monotonic() + _LOOK_AGAIN_S

    def _is_missing(self) -> bool:
        return len(self._ready) < self._wanted and self._starts == 0 and time.monotonic() >= self._not_before

    def _add(self) -> None:
        process = None
        try:
            process = sandbox.launch(self._plan, self._launcher, entry=self._entry)
            with Background(process.pid, weigh=process.weigh) as background:
                with self._changed:
                    self._coming, self._background = process, background
                    if self._is_closed:
                        process.kill()
                self._lock(process)
        except Exception as error:  # noqa: BLE001 - runners start without spares too; whatever it was is in the log
            if not self._is_unwanted(process):
                self._not_before = time.monotonic() + _RETRY_S
                reason = (process.log.last_line() if process else "") or type(error).__name__
                logger.warning("A spare runner did not start: %s", reason)
        with self._changed:
            is_wanted = not self._is_closed and self._wanted > len(self._ready)
            is_kept = process is not None and self._coming is process and is_wanted and _is_good(process)
            self._coming = self._background = None
            if is_kept and process is not None:
                self._ready.append(process)
            self._changed.notify_all()
        if not is_kept and process is not None:
            process.close()

    def _is_unwanted(self, process: sandbox.Process | None) -> bool:
        with self._changed:
            return self._is_closed or (process is not None and self._coming is not process)

    def _lock(self, process: sandbox.Process) -> None:
        until = time.monotonic() + _PATIENCE * self._plan.config.start_timeout_s
        process.channel.send(sandbox.begin_options(self._plan), until=until)
        answer = process.channel.receive(limit=_LOCKED_LIMIT, until=until)
        if answer.get("kind") != "locked":
            raise FrameError("another message than was due")


def _is_good(process: sandbox.Process) -> bool:
    return process.is_alive() and process.channel.is_quiet()
