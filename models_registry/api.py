"""`/api/v1/uploads`, `/api/v1/releases`, `/api/v1/models`.

The registry knows no users: a caller is the address that authentication put on `request.user`.
"""

import base64
import binascii
import re
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from models_registry import selectors, services
from models_registry.api_schemas import (
    EXAMPLE_CID,
    ModelDetailSerializer,
    ModelIdField,
    ModelPageSerializer,
    ModelQuerySerializer,
    ModelReleaseSerializer,
    ModelSerializer,
    ReleaseSerializer,
    ReleaseSubmitSerializer,
    UploadedFileSerializer,
    UploadMetadataSerializer,
    UploadSerializer,
)
from models_registry.errors import ReleaseNotFoundError, UploadChecksumError, UploadLengthRequiredError
from models_registry.models import Release, ReleaseState
from models_registry.runtime.tasks import TASKS

# A body that is refused before it is read is read on up to here, so that the client sees the answer instead of a
# broken connection.
_DRAIN_BYTES = 8 << 20

_METADATA_EXAMPLE = OpenApiExample(
    "A classifier",
    value={"name": "Review sentiment", "task": "text-classification", "licence": "Apache-2.0"},
    request_only=True,
)
_REFERENCE = OpenApiParameter("reference", str, OpenApiParameter.PATH, description="A release's id or digest.")


class RegistryView(APIView):
    """What these views share: the scope that an API key needs, and limits on the methods that cost something."""

    required_scope: ClassVar[str | None] = "publish"
    throttle_scopes: ClassVar[dict[str, str]] = {}

    def get_throttles(self) -> list[BaseThrottle]:
        scope = self.throttle_scopes.get(self.request.method or "")
        self.throttle_scope = scope
        return super().get_throttles() if scope else []


def _address(request: Request) -> str:
    return str(getattr(request.user, "address", ""))


class UploadListView(RegistryView):
    """The caller's uploads."""

    throttle_scopes: ClassVar = {"POST": "upload"}

    @extend_schema(operation_id="upload_list", tags=["uploads"], responses=UploadSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Your uploads with their files, newest first, at most 100."""
        uploads = selectors.upload_list(_address(request))
        return Response([UploadSerializer(upload).data for upload in uploads])

    @extend_schema(
        operation_id="upload_create",
        tags=["uploads"],
        request=UploadMetadataSerializer,
        responses={201: UploadSerializer},
        examples=[_METADATA_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Open an upload. Then send each file, and submit the upload as a release."""
        form = UploadMetadataSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        metadata = {**form.validated_data, "model_id": form.validated_data["model"]}
        upload = services.upload_create(publisher=_address(request), metadata=metadata)
        headers = {"Location": f"/api/v1/uploads/{upload.pk}"}
        return Response(UploadSerializer(upload).data, status=status.HTTP_201_CREATED, headers=headers)


class UploadView(RegistryView):
    """One upload of the caller."""

    @extend_schema(operation_id="upload_get", tags=["uploads"], responses=UploadSerializer)
    def get(self, request: Request, upload_id: str) -> Response:
        """The upload and the files that arrived whole: after a break, send what is missing."""
        return Response(UploadSerializer(selectors.upload_get(publisher=_address(request), upload_id=upload_id)).data)

    @extend_schema(operation_id="upload_delete", tags=["uploads"], responses={204: None})
    def delete(self, request: Request, upload_id: str) -> Response:
        """Delete the upload and its files. Releases made from it stay."""
        services.upload_delete(upload=selectors.upload_get(publisher=_address(request), upload_id=upload_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class UploadFileView(RegistryView):
    """One file of an upload."""

    throttle_scopes: ClassVar = {"PUT": "upload", "DELETE": "upload"}

    @extend_schema(
        operation_id="upload_file_put",
        tags=["uploads"],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses=UploadedFileSerializer,
        parameters=[
            OpenApiParameter(
                "X-Content-SHA256",
                {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                OpenApiParameter.HEADER,
                description="The file's sha256 in hex; a difference is refused. `Content-Digest` (RFC 9530) works too.",
            ),
        ],
    )
    def put(self, request: Request, upload_id: str, path: str) -> Response:
        """Send one file as the raw body, with its Content-Length. Sending it again replaces it and does no harm."""
        upload = selectors.upload_get(publisher=_address(request), upload_id=upload_id)
        http_request = request._request
        size = _content_length(request)
        try:
            file = services.upload_file_put(
                upload=upload, path=path, stream=http_request, size=size, sha256=_announced_sha256(request)
            )
        finally:
            _drain(http_request)
        return Response(UploadedFileSerializer(file).data)

    @extend_schema(operation_id="upload_file_delete", tags=["uploads"], responses={204: None})
    def delete(self, request: Request, upload_id: str, path: str) -> Response:
        """Take a file out of the upload."""
        upload = selectors.upload_get(publisher=_address(request), upload_id=upload_id)
        services.upload_file_delete(upload=upload, path=path)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ReleaseListView(RegistryView):
    """Releases that the caller made."""

    throttle_scopes: ClassVar = {"POST": "release"}

    @extend_schema(operation_id="release_list", tags=["releases"], responses=ReleaseSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Your releases, newest first, at most 100."""
        releases = selectors.release_list_for_publisher(_address(request))
        return Response([_release_data(release, _address(request)) for release in releases])

    @extend_schema(
        operation_id="release_create",
        tags=["releases"],
        request=ReleaseSubmitSerializer,
        responses={202: ReleaseSerializer},
        examples=[
            OpenApiExample(
                "With the CID that you computed",
                value={"upload": "2f6c7a3e-6a0f-4a8e-9a55-0f4b8e1f6f10", "expected_cid": EXAMPLE_CID},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a release of an upload. The answer comes at once, the checks take a while: ask for the release again.

        The same files and metadata give the same release, however often they are submitted.
        """
        form = ReleaseSubmitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        address = _address(request)
        upload = selectors.upload_get(publisher=address, upload_id=form.validated_data["upload"])
        release = services.release_submit(upload=upload, expected_cid=form.validated_data["expected_cid"])
        headers = {"Location": f"/api/v1/releases/{release.pk}"}
        return Response(_release_data(release, address), status=status.HTTP_202_ACCEPTED, headers=headers)


class ReleaseView(RegistryView):
    """One release: listed ones for anybody, others for the publisher who uploaded them."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="release_get",
        tags=["releases"],
        responses=ReleaseSerializer,
        parameters=[
            _REFERENCE,
            OpenApiParameter(
                "model",
                {"type": "string", "pattern": "^[0-9]{1,78}$"},
                description="Give the transaction for a new release of this model of yours.",
            ),
        ],
    )
    def get(self, request: Request, reference: str) -> Response:
        """State, refusals, root CID and digest; for the publisher of a ready release, the transaction to sign."""
        release = selectors.release_get(reference)
        address = _address(request)
        is_publisher = bool(address) and release.publisher == address and self._may_see_drafts(request)
        if not is_publisher and not selectors.release_is_public(release):
            raise ReleaseNotFoundError(f"There is no release {reference[:80]!r} here.", release=reference[:80])
        model_id = _model_id(request) if "model" in request.query_params else None
        return Response(_release_data(release, address if is_publisher else "", model_id=model_id))

    def _may_see_drafts(self, request: Request) -> bool:
        # Reading is open here, so the default permission, which holds API keys to their scope, is asked by hand.
        kinds: list[type[BasePermission]] = api_settings.DEFAULT_PERMISSION_CLASSES  # type: ignore[assignment]
        return all(kind().has_permission(request, self) for kind in kinds)


class ModelListView(APIView):
    """Models that anybody may see."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="model_list",
        tags=["models"],
        responses=ModelPageSerializer,
        parameters=[
            OpenApiParameter("q", str, description="Words of the name or the summary."),
            OpenApiParameter("task", {"type": "string", "enum": sorted(TASKS)}),
            OpenApiParameter("owner", {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}),
            OpenApiParameter("after", {"type": "string", "pattern": "^[0-9]{1,78}$"}, description="The next_cursor."),
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": selectors.PAGE_LIMIT}),
        ],
    )
    def get(self, request: Request) -> Response:
        """Listed models, newest first."""
        form = ModelQuerySerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        query = dict(form.validated_data)
        page = selectors.model_list(query=query.pop("q"), **query)
        response = Response(ModelPageSerializer(page).data)
        if page.next_cursor:
            following = urlencode({**request.query_params.dict(), "after": page.next_cursor})
            response["Link"] = f'<{request.build_absolute_uri("?" + following)}>; rel="next"'
        return response


class ModelView(APIView):
    """One model."""

    permission_classes = (AllowAny,)

    @extend_schema(operation_id="model_get", tags=["models"], responses=ModelDetailSerializer)
    def get(self, request: Request, model_id: int) -> Response:
        """A model, its card and its releases. One that was not checked yet says so in `notice`."""
        model = selectors.model_get(model_id)
        releases = [ModelReleaseSerializer(row).data for row in selectors.release_list_for_model(model_id)]
        return Response({**ModelSerializer(model).data, "card": model.card, "releases": releases})


def _release_data(release: Release, publisher: str, *, model_id: int | None = None) -> dict[str, Any]:
    """The release for its publisher, who gets the transaction to sign, or for others (`publisher` empty)."""
    signs = release.state == ReleaseState.READY and publisher == release.publisher
    if model_id is None and release.upload is not None:
        model_id = release.upload.model_id
    request = services.release_transaction(release, model_id=model_id) if signs else None
    data: dict[str, Any] = dict(ReleaseSerializer(release).data)
    if not publisher:
        data["upload"] = None
    return {**data, "transaction": request.json() if request else None}


def _model_id(request: Request) -> int:
    return int(ModelIdField().run_validation(request.query_params["model"]))


def _content_length(request: Request) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdecimal() and len(length) <= 15):
        raise UploadLengthRequiredError("Send the file with a Content-Length header, and not in chunks.")
    return int(length)


def _announced_sha256(request: Request) -> str:
    """The sha256 that the caller announced, in hex, "" where none was. Raises UploadChecksumError for nonsense."""
    plain = request.headers.get("X-Content-SHA256", "").lower()
    field = re.search(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):", request.headers.get("Content-Digest", ""))
    if field and not plain:
        try:
            plain = base64.b64decode(field[1], validate=True).hex()
        except binascii.Error:
            plain = "?"
    if plain and not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise UploadChecksumError("The announced sha256 is malformed: expected 64 hex digits, or RFC 9530's form.")
    return plain


def _drain(request: HttpRequest) -> None:
    left = _DRAIN_BYTES
    try:
        while left > 0 and (data := request.read(1 << 16)):
            left -= len(data)
    except OSError:
        return
