"""The pool of runners: one per loaded release, within a memory budget."""

from typing import Any

from models_registry.runtime.specs import RunnerSpec, RunResult, SandboxConfig


class RunnerPool:
    """Runs models in sandboxes. Thread-safe; made in the process that uses it, closed by its maker."""

    def __init__(self, config: SandboxConfig, *, memory_bytes: int, recycle_after: int = 1000) -> None:
        """Raises SandboxUnavailable where this machine cannot isolate a model."""
        raise NotImplementedError

    def run(self, spec: RunnerSpec, inputs: Any, parameters: Any, deadline_s: float) -> RunResult:
        """Load the release if it is not loaded, run it once, check what came back."""
        raise NotImplementedError

    def close(self) -> None:
        """End every runner."""
        raise NotImplementedError
