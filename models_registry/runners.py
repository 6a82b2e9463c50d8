"""The pool of runners that this site's settings describe. The runtime itself reads no settings."""

import logging
import os
import threading
from pathlib import Path

from django.conf import settings

from models_registry.runtime import accelerators, clearance, sandbox
from models_registry.runtime.errors import SandboxUnavailable
from models_registry.runtime.plan import Plan
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.specs import SandboxConfig

logger = logging.getLogger(__name__)

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
        devices=devices(settings.SANDBOX_DEVICES),
    )


def devices(given: str) -> tuple[Path, ...]:
    """The device nodes of `WEIGHHOUSE_SANDBOX_DEVICES`. Raises SandboxUnavailable for a path that is none."""
    if given == "auto":
        return accelerators.nodes()
    paths = tuple(Path(name.strip()) for name in given.split(",") if name.strip())
    for path in paths:
        if not path.is_char_device():
            raise SandboxUnavailable(
                f"WEIGHHOUSE_SANDBOX_DEVICES names {path}, which is no device here. Name nodes such as /dev/nvidiactl, "
                "or auto, or leave it empty."
            )
    return paths


def private_files() -> list[Path]:
    """Files of this site that no model may read, for the self-check to try."""
    private = [Path(settings.BASE_DIR) / "manage.py", Path(settings.BASE_DIR) / ".env"]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        private.append(Path(str(database["NAME"])))
    return private


def sandbox_require() -> Plan:
    """A sandbox that works and that holds, or SandboxUnavailable with a sentence that says what to do.

    Asked before a process takes work that runs models. The first time after a boot or a change it takes ten seconds.
    """
    plan = sandbox.require(sandbox_config())
    _accelerator_tell(plan)
    try:
        clearance.require_held(plan, record=clearance_record(), files=private_files())
    except OSError as error:
        raise SandboxUnavailable(
            f"The outcome of the sandbox's self-check cannot be kept in WEIGHHOUSE_VAR_DIR: {error.strerror}. "
            "Let the worker's user write there."
        ) from error
    return plan


def _accelerator_tell(plan: Plan) -> None:
    """A card that nobody uses is seen in the log, and so is one that models can reach."""
    if plan.config.devices:
        logger.warning("Runners are given %s: models can reach the driver.", ", ".join(map(str, plan.config.devices)))
    elif accelerators.nodes():
        logger.warning(
            "An accelerator is here and not used. WEIGHHOUSE_SANDBOX_DEVICES=auto gives it to runners, and with it the "
            "driver to models; see docs/sandbox.md."
        )


def clearance_record() -> Path:
    """Where this machine's outcome is kept, one file for each user that workers have."""
    return Path(settings.VAR_DIR) / f"sandbox-held-{os.geteuid()}.json"


def clearance_forget() -> list[Path]:
    """Remove the outcomes of every user of this machine, and return those that this user may not remove."""
    kept = []
    for record in Path(settings.VAR_DIR).glob("sandbox-held-*.json"):
        try:
            record.unlink(missing_ok=True)
        except OSError:
            kept.append(record)
    return kept


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
