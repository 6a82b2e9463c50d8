"""URLs of `/api/v1/` that are about jobs."""

from django.urls import path

from marketplace.inference import api
from marketplace.inference.receipts import api as receipts

urlpatterns = [
    path("models/<on_chain_id:model_id>/trials", api.TrialsView.as_view(), name="api-model-trials"),
    path("jobs", api.JobListView.as_view(), name="api-jobs"),
    path("jobs/quote", api.JobQuoteView.as_view(), name="api-job-quote"),
    path("jobs/<uuid:job_id>", api.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/cancel", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/payload", api.JobPayloadView.as_view(), name="api-job-payload"),
    path("jobs/<uuid:job_id>/acceptance", receipts.JobAcceptanceView.as_view(), name="api-job-acceptance"),
    path("jobs/<uuid:job_id>/receipt", receipts.JobReceiptView.as_view(), name="api-job-receipt"),
    path("jobs/<uuid:job_id>/receipt/opening", receipts.JobOpeningView.as_view(), name="api-job-receipt-opening"),
    path("worker-keys", receipts.WorkerKeysView.as_view(), name="api-worker-keys"),
]
