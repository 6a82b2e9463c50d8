"""URLs of `/api/v1/` that are about jobs."""

from django.urls import path

from marketplace.inference import api, api_events

urlpatterns = [
    path("jobs", api.JobListView.as_view(), name="api-jobs"),
    path("jobs/<uuid:job_id>", api.JobView.as_view(), name="api-job"),
    path("jobs/<uuid:job_id>/events", api_events.JobEventsView.as_view(), name="api-job-events"),
    path("jobs/<uuid:job_id>/cancel", api.JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/payload", api.JobPayloadView.as_view(), name="api-job-payload"),
]
