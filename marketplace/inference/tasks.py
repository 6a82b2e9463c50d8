"""What workers do about jobs. A task takes ids and calls one service."""

import logging

from celery import shared_task
from weighhouse.core.errors import WeighhouseError

from marketplace.inference import execution, reporting, services, trials
from marketplace.inference.receipts import batching

logger = logging.getLogger(__name__)


@shared_task(name=services.RUN_TASK)
def job_run(job_id: str) -> None:
    """A ticket: run the job whose turn it is. `job_id` says which job the ticket came with, for the log."""
    execution.job_run()


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
