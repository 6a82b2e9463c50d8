"""Results of a batch, page by page."""

from typing import Any

from marketplace.inference.batches import batch_jobs, results_of_job
from marketplace.inference.models import Batch, JobPayload
from marketplace.inference.selectors import job_outputs
from marketplace.inference.services.keeping import payloads_drop


def batch_hand_out(batch: Batch, *, after: int, limit: int) -> list[dict[str, Any]]:
    """The results of the inputs from number `after` on, at most `limit`, in the order of the inputs.

    Of a batch that stores nothing, a job's outputs go when the last of them was handed out.
    """
    page: list[dict[str, Any]] = []
    read_whole = []
    for job in batch_jobs(batch, after=after, limit=limit):
        outputs = job_outputs(job)
        page += results_of_job(job, outputs.outputs if outputs else None)
        if outputs and job.batch_position + job.input_count <= after + limit:
            read_whole.append(job.pk)
    if not batch.store and read_whole:
        payloads_drop(JobPayload.objects.filter(job_id__in=read_whole))
    return [entry for entry in page if after <= entry["index"] < after + limit]
