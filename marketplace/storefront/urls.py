"""The pages of the site."""

from django.urls import path

from marketplace.storefront.views import api_page, keys, session, status

urlpatterns = [
    path("sign-in/", session.sign_in, name="sign-in"),
    path("sign-out/", session.sign_out, name="sign-out"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<slug:prefix>/revoke/", keys.key_revoke, name="key-revoke"),
    path("status/", status.chain_status, name="chain-status"),
    path("api/", api_page.api_page, name="api-page"),
]
