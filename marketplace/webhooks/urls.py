"""URLs of `/api/v1/` that are about webhooks."""

from django.urls import path

from marketplace.webhooks import api

urlpatterns = [
    path("webhooks", api.EndpointListView.as_view(), name="api-webhooks"),
    path("webhooks/<uuid:endpoint_id>", api.EndpointView.as_view(), name="api-webhook"),
    path("webhooks/<uuid:endpoint_id>/secret", api.EndpointSecretView.as_view(), name="api-webhook-secret"),
    path("webhooks/<uuid:endpoint_id>/deliveries", api.DeliveryListView.as_view(), name="api-webhook-deliveries"),
    path(
        "webhooks/<uuid:endpoint_id>/deliveries/<slug:event_id>/resend",
        api.DeliveryResendView.as_view(),
        name="api-webhook-resend",
    ),
]
