"""The life of a job. Each move is a conditional UPDATE that must change one row.

queued -> running -> succeeded | failed, queued | running -> cancelled, queued -> expired, running -> queued when a
worker was lost. The call of the licence moves in the same transaction (`ledger`).
"""

from marketplace.inference.receipts.issuing import receipt_issue
from marketplace.inference.services.accepting import job_create
from marketplace.inference.services.again import job_again
from marketplace.inference.services.batching import batch_cancel, batch_create, batch_size_check
from marketplace.inference.services.claiming import job_claim, job_claim_next, job_has_room_beside, job_let_go
from marketplace.inference.services.ending import CANCEL_WINDOW, job_cancel, job_payload_delete, text_may_be_told
from marketplace.inference.services.handing import batch_hand_out
from marketplace.inference.services.keeping import job_hand_out, payloads_purge
from marketplace.inference.services.moves import RUN_TASK, CheckedAt, error_json, job_enqueue
from marketplace.inference.services.quoting import Quote, batch_quote, job_quote
from marketplace.inference.services.running import (
    job_fail,
    job_is_held,
    job_lease_renew,
    job_retry,
    job_succeed,
)
from marketplace.inference.services.sweeping import jobs_sweep
from marketplace.inference.services.telling import job_running_tell
from marketplace.inference.services.uploading import input_upload_delete, input_upload_receive, upload_files_tidy

__all__ = [
    "CANCEL_WINDOW",
    "RUN_TASK",
    "CheckedAt",
    "Quote",
    "batch_cancel",
    "batch_create",
    "batch_hand_out",
    "batch_quote",
    "batch_size_check",
    "error_json",
    "input_upload_delete",
    "input_upload_receive",
    "job_again",
    "job_cancel",
    "job_claim",
    "job_claim_next",
    "job_create",
    "job_enqueue",
    "job_fail",
    "job_hand_out",
    "job_has_room_beside",
    "job_is_held",
    "job_lease_renew",
    "job_let_go",
    "job_payload_delete",
    "job_quote",
    "job_retry",
    "job_running_tell",
    "job_succeed",
    "jobs_sweep",
    "payloads_purge",
    "receipt_issue",
    "text_may_be_told",
    "upload_files_tidy",
]
