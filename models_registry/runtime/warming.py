"""Loading a release that no call waits for yet."""

import contextlib
import threading

from models_registry.runtime import sandbox
from models_registry.runtime.background import Background
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.plan import Plan
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import RunnerSpec

_PATIENCE = 5  # how much longer a start in the background may take


class Warming:
    """One load beside those that work. It gives way to others until it is hurried, and ends when it is stopped.

    Hurried, it has `start_timeout_s` as any other start. `hurry` and `stop` come from any thread, at any time, and more
    than once.
    """

    def __init__(self, start_timeout_s: float) -> None:
        self._late = threading.Timer(start_timeout_s, self.stop)
        self._late.daemon = True
        self._guard = threading.Lock()
        self._process: sandbox.Process | None = None
        self._background: Background | None = None
        self._is_hurried = self._is_stopped = False

    def load(self, plan: Plan, launcher: Launcher, spec: RunnerSpec) -> Runner:
        """Raises what `Runner` raises; RunnerCrashedError where it was stopped."""
        patience_s = _PATIENCE * plan.config.start_timeout_s
        try:
            return Runner(plan, launcher, spec, timeout_s=patience_s, on_launched=self._begin)
        finally:
            # From here on it is as others are, however it ended.
            with self._guard:
                self._process = None
            self.hurry()
            self._late.cancel()

    def hurry(self) -> None:
        """A call waits for it now."""
        with self._guard:
            if not self._is_hurried and self._process is not None:
                self._bound()
            self._is_hurried = True
            background, self._background = self._background, None
        if background is not None:
            background.end()

    def stop(self) -> None:
        """Its room is wanted for a release that a call waits for, or a call has waited for it for long enough."""
        with self._guard:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _bound(self) -> None:
        # Without a thread for the clock it has the patience that it began with.
        with contextlib.suppress(RuntimeError):
            self._late.start()

    def _begin(self, process: sandbox.Process) -> None:
        with self._guard:
            self._process = process
            if self._is_stopped:
                process.kill()
            elif self._is_hurried:
                self._bound()
            else:
                self._background = Background(process.pid, weigh=process.weigh)
                self._background.start()
