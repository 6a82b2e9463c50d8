"""URLs of `/api/v1/` that are about jobs."""

from django.urls import path

from marketplace.inference import api, api_batches, api_events, api_uploads

urlpatterns = [
    path("jobs", api.JobListView.as_view(), name="api-jobs"),
    path("jobs/<uuid:job_id>", api.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/events", api_events.JobEventsView.as_view(), name="api-job-events"),
    path("jobs/<uuid:job_id>/cancel", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/retry", api.JobRetryView.as_view(), name="api-job-retry"),
    path("batches", api_batches.BatchListView.as_view(), name="api-batches"),
    path("batches/<uuid:batch_id>", api_batches.BatchView.as_view(), name="api-batch"),
    path("batches/<uuid:batch_id>/results", api_batches.BatchResultsView.as_view(), name="api-batch-results"),
    path("batches/<uuid:batch_id>/cancel", api_batches.BatchCancelView.as_view(), name="api-batch-cancel"),
    path("inputs", api_uploads.InputUploadListView.as_view(), name="api-inputs"),
    path("inputs/<uuid:upload_id>", api_uploads.InputUploadView.as_view(), name="api-input"),
    path("jobs/<uuid:job_id>/payload", api.JobPayloadView.as_view(), name="api-job-payload"),
]
