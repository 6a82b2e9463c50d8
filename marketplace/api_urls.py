"""`/api/v1/`: each domain brings its own table."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from marketplace import api_schema
from marketplace.api_status import StatusView


class NothingHereView(APIView):
    """Every address of the API that is none: a problem, not a page."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    schema = None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound("There is nothing at this address. /api/v1/openapi.json lists what there is.")


urlpatterns = [
    path(
        "openapi.json",
        SpectacularJSONAPIView.as_view(permission_classes=[AllowAny], generator_class=api_schema.SchemaOnce),
        name="api-openapi",
    ),
    path("status", StatusView.as_view(), name="api-status"),
    path("", include("marketplace.accounts.urls")),
    path("", include("marketplace.licences.urls")),
    path("", include("marketplace.orders.urls")),
    path("", include("marketplace.inference.urls")),
    path("", include("marketplace.webhooks.urls")),
    path("", include("models_registry.urls")),
    re_path(r"^.*\Z", NothingHereView.as_view(), name="api-nothing"),
]
