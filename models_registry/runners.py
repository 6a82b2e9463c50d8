"""The pool of runners that this site's settings describe. The runtime itself reads no settings."""

import os
import threading
from pathlib import Path

from django.conf import settings

from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import SandboxConfig

_made: dict[int, RunnerPool] = {}
_making = threading.Lock()


def sandbox_config() -> SandboxConfig:
    """How runners are confined here."""
    return SandboxConfig(
        bwrap=settings.SANDBOX_BWRAP or None,
        memory_bytes=settings.SANDBOX_MEMORY_BYTES,
        threads=settings.SANDBOX_THREADS,
        start_timeout_s=settings.SANDBOX_START_TIMEOUT_S,
        allow_degraded=settings.SANDBOX_ALLOW_DEGRADED,
        cgroup_root=Path(settings.SANDBOX_CGROUP) if settings.SANDBOX_CGROUP else None,
        first_uid=settings.SANDBOX_FIRST_UID,
    )


def runner_pool() -> RunnerPool:
    """This process's pool, made when first asked for; a fork gets its own. Raises SandboxUnavailable.

    Runners end with the process, however it ends.
    """
    pid = os.getpid()
    with _making:
        if pid not in _made:
            _made.clear()  # a parent's pool, which means nothing after a fork
            _made[pid] = RunnerPool(
                sandbox_config(), memory_bytes=settings.RUNNER_POOL_MEMORY_BYTES, spares=settings.SANDBOX_SPARES
            )
        return _made[pid]


def runner_pool_close() -> None:
    """End this process's runners, in order. A later `runner_pool` makes a new one."""
    with _making:
        pool = _made.pop(os.getpid(), None)
    if pool is not None:
        pool.close()
