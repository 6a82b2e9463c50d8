"""The registry's part of `/api/v1/`."""

from django.urls import path, re_path, register_converter

from chain.fields import UINT256_MAX
from models_registry import api


class ModelIdConverter:
    """A model's id in decimal, without leading zeros, at most 2^256 - 1."""

    regex = r"0|[1-9][0-9]{0,77}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > UINT256_MAX:
            raise ValueError(value)
        return number

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(ModelIdConverter, "registry_model_id")

_UPLOAD = r"^uploads/(?P<upload_id>[0-9a-f-]{36})"

urlpatterns = [
    path("uploads", api.UploadListView.as_view(), name="api-uploads"),
    re_path(_UPLOAD + r"\Z", api.UploadView.as_view(), name="api-upload"),
    # Any path at all: a bad one is refused with its reason, and not with a page that does not exist.
    re_path(_UPLOAD + r"/files/(?P<path>[\s\S]+)\Z", api.UploadFileView.as_view(), name="api-upload-file"),
    path("releases", api.ReleaseListView.as_view(), name="api-releases"),
    path("releases/<slug:reference>", api.ReleaseView.as_view(), name="api-release"),
    path("models", api.ModelListView.as_view(), name="api-models"),
    path("models/<registry_model_id:model_id>", api.ModelView.as_view(), name="api-model"),
]
