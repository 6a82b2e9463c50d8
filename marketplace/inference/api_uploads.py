"""`/api/v1/inputs`: send a large input ahead, then name it in a job."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.api_parts import KeysetPagination, ThrottledByMethod
from marketplace.inference import services, uploads
from marketplace.inference.models import InputUpload, UploadKind
from models_registry.errors import UploadLengthRequiredError

_DRAIN_BYTES = 8 * 1024 * 1024


class InputUploadSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text='A job names it as `{"upload": "<id>"}` in place of an input.')
    kind = serializers.ChoiceField(UploadKind.choices)
    size = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    delete_at = serializers.DateTimeField(
        help_text="When it is deleted if no job needs it. One that jobs name goes with the last of their payloads."
    )


class InputUploadListView(ThrottledByMethod, GenericAPIView[InputUpload]):
    required_scope = "run"
    pagination_class = KeysetPagination
    serializer_class = InputUploadSerializer
    throttle_scopes = {"POST": "input"}

    @extend_schema(operation_id="input_list", tags=["inputs"], responses=InputUploadSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The account's uploads, newest first. What is in them is never given out."""
        page = self.paginate_queryset(uploads.input_upload_list(caller(request)))
        return self.get_paginated_response(InputUploadSerializer(page, many=True).data)

    @extend_schema(
        operation_id="input_create",
        tags=["inputs"],
        request=dict.fromkeys(("text/plain", "image/*", "audio/*"), OpenApiTypes.BINARY),
        responses={201: InputUploadSerializer},
    )
    def post(self, request: Request) -> Response:
        """Send one large input as the raw body, with its Content-Type and Content-Length."""
        length = request.META.get("CONTENT_LENGTH") or ""
        if not (length.isascii() and length.isdecimal() and len(length) <= 15):
            raise UploadLengthRequiredError("Send the input with a Content-Length header, and not in chunks.")
        try:
            upload = services.input_upload_receive(
                account=caller(request),
                media_type=request.META.get("CONTENT_TYPE", ""),
                size=int(length),
                stream=request._request,
            )
        finally:
            _drain(request._request)
        headers = {"Location": f"/api/v1/inputs/{upload.pk}"}
        return Response(InputUploadSerializer(upload).data, status=status.HTTP_201_CREATED, headers=headers)


class InputUploadView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="input_get", tags=["inputs"], responses=InputUploadSerializer)
    def get(self, request: Request, upload_id: UUID) -> Response:
        """One upload, without its content."""
        upload = uploads.input_upload_get(account=caller(request), upload_id=upload_id)
        return Response(InputUploadSerializer(upload).data)

    @extend_schema(operation_id="input_delete", tags=["inputs"], responses={204: None})
    def delete(self, request: Request, upload_id: UUID) -> Response:
        """Delete an upload at once. One that an open job needs stays."""
        services.input_upload_delete(account=caller(request), upload_id=upload_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _drain(request: HttpRequest) -> None:
    """Read what a refused upload still sends, up to a limit, so that its sender gets to read why."""
    left = _DRAIN_BYTES
    try:
        while left > 0 and (data := request.read(1 << 16)):
            left -= len(data)
    except OSError:
        return
