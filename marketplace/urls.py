"""All URLs of the site. Each domain brings its own table."""

from django.urls import include, path

urlpatterns = [
    path("api/v1/", include("marketplace.api_urls")),
    path("v1/", include("marketplace.inference.openai_api.urls")),
    path("", include("marketplace.storefront.urls")),
]
