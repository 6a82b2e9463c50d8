"""What workers do about jobs. A task takes ids and calls one service."""

import logging

from celery import shared_task
from celery.worker import state
from weighhouse.core.errors import WeighhouseError

from marketplace.celery import connections_check
from marketplace.inference import execution, reporting, services, trials
from marketplace.inference.receipts import batching

logger = logging.getLogger(__name__)


@shared_task(name=services.RUN_TASK)
def job_run(job_id: str) -> None:
    """A ticket: run the job whose turn it is. `job_id` says which job the ticket came with, for the log."""
    execution.jobs_run(may_go_on=_may_go_on)


def _may_go_on() -> bool:
    """Between two jobs of a ticket: as between two tasks, and not where the worker was told to end."""
    connections_check()
    # The exit status, which may be 0.
    return not any(status is not None and status is not False for status in (state.should_stop, state.should_terminate))


@shared_task
def job_sweep() -> None:
    services.jobs_sweep()


@shared_task
def payload_purge() -> None:
    services.payloads_purge()
    services.upload_files_tidy()
    trials.trial_budgets_purge()


@shared_task
def receipts_anchor() -> None:
    batching.receipts_anchor()


@shared_task
def usage_report() -> None:
    try:
        reporting.usage_report()
    except WeighhouseError as error:
        # What is not reported now is reported by a later round.
        logger.warning("Use is not reported: %s (%s)", error.message, error.code)
