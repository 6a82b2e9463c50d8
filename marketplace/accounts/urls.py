"""URLs of `/api/v1/` that are about who is calling."""

from django.urls import path

from marketplace.accounts import api

urlpatterns = [
    path("session/nonce", api.SessionNonceView.as_view(), name="api-session-nonce"),
    path("session", api.SessionView.as_view(), name="api-session"),
    path("keys", api.KeyListView.as_view(), name="api-keys"),
    path("keys/<slug:prefix>", api.KeyView.as_view(), name="api-key"),
]
