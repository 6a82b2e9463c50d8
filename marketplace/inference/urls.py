"""URLs of `/api/v1/` that are about jobs."""

from django.urls import path

from marketplace.inference import api, api_batches, api_events, api_isolation, api_trials, api_uploads
from marketplace.inference.receipts import api as receipts

urlpatterns = [
    path("models/<on_chain_id:model_id>/trials", api_trials.TrialsView.as_view(), name="api-model-trials"),
    path(
        "models/<on_chain_id:model_id>/isolation",
        api_isolation.ModelIsolationView.as_view(),
        name="api-model-isolation",
    ),
    path("jobs", api.JobListView.as_view(), name="api-jobs"),
    path("jobs/quote", api.JobQuoteView.as_view(), name="api-job-quote"),
    path("jobs/<uuid:job_id>", api.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/events", api_events.JobEventsView.as_view(), name="api-job-events"),
    path("jobs/<uuid:job_id>/cancel", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/retry", api.JobRetryView.as_view(), name="api-job-retry"),
    path("batches", api_batches.BatchListView.as_view(), name="api-batches"),
    path("batches/quote", api_batches.BatchQuoteView.as_view(), name="api-batch-quote"),
    path("batches/<uuid:batch_id>", api_batches.BatchView.as_view(), name="api-batch"),
    path("batches/<uuid:batch_id>/results", api_batches.BatchResultsView.as_view(), name="api-batch-results"),
    path(
        "batches/<uuid:batch_id>/acceptances", api_batches.BatchAcceptancesView.as_view(), name="api-batch-acceptances"
    ),
    path("batches/<uuid:batch_id>/cancel", api_batches.BatchCancelView.as_view(), name="api-batch-cancel"),
    path("inputs", api_uploads.InputUploadListView.as_view(), name="api-inputs"),
    path("inputs/<uuid:upload_id>", api_uploads.InputUploadView.as_view(), name="api-input"),
    path("jobs/<uuid:job_id>/payload", api.JobPayloadView.as_view(), name="api-job-payload"),
    path("jobs/<uuid:job_id>/acceptance", receipts.JobAcceptanceView.as_view(), name="api-job-acceptance"),
    path("jobs/<uuid:job_id>/receipt", receipts.JobReceiptView.as_view(), name="api-job-receipt"),
    path("jobs/<uuid:job_id>/receipt/opening", receipts.JobOpeningView.as_view(), name="api-job-receipt-opening"),
    path("worker-keys", receipts.WorkerKeysView.as_view(), name="api-worker-keys"),
]
