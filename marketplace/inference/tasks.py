"""What workers do about jobs. A task takes ids and calls one service."""

from uuid import UUID

from celery import shared_task

from marketplace.inference import execution, services
from marketplace.inference.receipts import batching


@shared_task(name=services.RUN_TASK)
def job_run(job_id: str) -> None:
    execution.job_run(job_id=UUID(job_id))


@shared_task
def job_sweep() -> None:
    services.jobs_sweep()


@shared_task
def payload_purge() -> None:
    services.payloads_purge()


@shared_task
def receipts_anchor() -> None:
    batching.receipts_anchor()
