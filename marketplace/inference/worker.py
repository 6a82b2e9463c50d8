"""The worker process: it starts with a sandbox that works, or not at all."""

import logging
import threading
from typing import Any

from celery.concurrency.prefork import TaskPool as PoolOfProcesses
from celery.signals import worker_init, worker_process_shutdown, worker_ready, worker_shutdown
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from weighhouse.core.errors import WeighhouseError

from marketplace.checks import unsafe_refuse
from marketplace.inference.seats import worker_seats
from marketplace.inference.tasks import job_sweep
from marketplace.inference.warming import releases_warm_in_background
from models_registry.runners import runner_pool, runner_pool_close, sandbox_require

logger = logging.getLogger(__name__)

# Queues whose tasks load models.
SANDBOXED_QUEUES = frozenset({"inference", "intake", "fetch"})


@worker_init.connect
def sandbox_refuse_without(sender: Any, **_: Any) -> None:
    """Attack a sandbox before the worker takes anything. Ends the process with a sentence where none holds.

    Celery has divided the queues by then: a worker that takes none whose tasks load models needs no sandbox.
    """
    try:
        unsafe_refuse()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from error
    if SANDBOXED_QUEUES.isdisjoint(queues_taken(sender)):
        return
    try:
        plan = sandbox_require()
    except WeighhouseError as error:
        raise SystemExit(f"This worker does not start: {error.message} [{error.code}]") from error
    logger.info("The sandbox works: %s", plan.isolation)


@worker_ready.connect
def jobs_sweep_at_start(sender: Any = None, **_: Any) -> None:
    """Look for what an earlier worker left behind, without waiting for the clock."""
    job_sweep.delay()


@worker_ready.connect
def threads_tell(sender: Any, **_: Any) -> None:
    """How many jobs this process runs at once. A child of a pool of processes runs one, and needs no bound."""
    if not isinstance(sender.pool, PoolOfProcesses):
        worker_seats.threads = sender.pool.limit


@worker_ready.connect
def spare_start_early(sender: Any = None, **_: Any) -> None:
    """The pool exists before the first job, so that its spare runner is ready sooner."""
    if settings.SANDBOX_SPARES and _runs_models_here(sender):
        runner_pool()


@worker_ready.connect
def releases_warm_early(sender: Any = None, **_: Any) -> None:
    """What ran most of late is loaded beside the first jobs."""
    if settings.WARM_RELEASES > 0 and _runs_models_here(sender):
        threading.Thread(target=releases_warm_in_background, name="releases-warm", daemon=True).start()


def _runs_models_here(sender: Any) -> bool:
    """Whether this process runs the tasks itself: the children of a pool of processes have a runner pool each."""
    runs_here = sender is not None and not isinstance(sender.pool, PoolOfProcesses)
    return runs_here and "inference" in queues_taken(sender)


@worker_process_shutdown.connect
@worker_shutdown.connect
def runners_close(**_: Any) -> None:
    runner_pool_close()


def queues_taken(worker: Any) -> frozenset[str]:
    """The names of the queues that a worker consumes from (`-Q`, `-X`)."""
    return frozenset(worker.app.amqp.queues.consume_from)
