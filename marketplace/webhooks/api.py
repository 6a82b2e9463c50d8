"""`/api/v1/webhooks`: be told when jobs and batches end."""

from typing import Any
from uuid import UUID

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts.authentication import caller
from marketplace.api_parts import KeysetPagination, ThrottledByMethod
from marketplace.webhooks import selectors, services
from marketplace.webhooks.models import DeliveryState, EventKind, WebhookDelivery, WebhookEndpoint
from models_registry.api_fields import BoundedListField


class WebhookEndpointChangeSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=2000, required=False, help_text="https, to a public host.")
    events = BoundedListField(
        child=serializers.ChoiceField(EventKind.choices),
        max_length=len(EventKind),
        source="kinds",
        required=False,
        help_text="Without it, every kind of event.",
    )
    description = serializers.CharField(max_length=80, required=False, allow_blank=True)
    enabled = serializers.BooleanField(source="is_enabled", required=False)


class WebhookEndpointCreateSerializer(WebhookEndpointChangeSerializer):
    url = serializers.CharField(max_length=2000, help_text="https, to a public host.")
    enabled = None  # type: ignore[assignment]


class WebhookEndpointSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField(), source="kinds")
    description = serializers.CharField()
    enabled = serializers.BooleanField(source="is_enabled")
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_reason = serializers.CharField()
    failing_since = serializers.DateTimeField(allow_null=True, help_text="Since when every delivery failed.")
    previous_secret_until = serializers.DateTimeField(
        source="previous_until", allow_null=True, help_text="Until when the secret before signs too."
    )
    created_at = serializers.DateTimeField()


class WebhookEndpointWithSecretSerializer(WebhookEndpointSerializer):
    secret = serializers.CharField(help_text="Shown in this answer and in no later one.")


class WebhookAttemptSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="Null where there was no answer.")
    error = serializers.JSONField(allow_null=True, help_text="`code` and `message` where there was none.")
    took_ms = serializers.IntegerField()


class WebhookDeliverySerializer(serializers.Serializer[Any]):
    event = serializers.CharField(source="event_id", help_text="The header `webhook-id`, the same at every attempt.")
    type = serializers.ChoiceField(EventKind.choices, source="event.kind")
    body = serializers.SerializerMethodField()
    state = serializers.ChoiceField(DeliveryState.choices)
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="Null: at once, or never again.")
    attempts = WebhookAttemptSerializer(many=True, source="log", help_text="The newest twenty, oldest first.")
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)

    def get_body(self, delivery: WebhookDelivery) -> dict[str, Any]:
        return dict(orjson.loads(delivery.event.body))


class EndpointListView(ThrottledByMethod, GenericAPIView[WebhookEndpoint]):
    required_scope = "run"
    bound_keys = False
    serializer_class = WebhookEndpointSerializer
    pagination_class = None
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(operation_id="webhook_list", tags=["webhooks"], responses=WebhookEndpointSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The account's endpoints, newest first, without their secrets."""
        return Response(WebhookEndpointSerializer(selectors.endpoint_list(caller(request)), many=True).data)

    @extend_schema(
        operation_id="webhook_create",
        tags=["webhooks"],
        request=WebhookEndpointCreateSerializer,
        responses={201: WebhookEndpointWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        """Name a URL to be told at. The answer holds the secret that deliveries are signed with."""
        form = WebhookEndpointCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        endpoint, secret = services.endpoint_create(account=caller(request), **form.validated_data)
        headers = {"Location": f"/api/v1/webhooks/{endpoint.pk}", "Cache-Control": "no-store"}
        return Response(_with_secret(endpoint, secret), status=status.HTTP_201_CREATED, headers=headers)


class EndpointView(ThrottledByMethod):
    required_scope = "run"
    bound_keys = False
    throttle_scopes = {"PATCH": "webhook"}

    @extend_schema(operation_id="webhook_get", tags=["webhooks"], responses=WebhookEndpointSerializer)
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """One endpoint, and how it does."""
        return Response(
            WebhookEndpointSerializer(selectors.endpoint_get(account=caller(request), endpoint_id=endpoint_id)).data
        )

    @extend_schema(
        operation_id="webhook_change",
        tags=["webhooks"],
        request=WebhookEndpointChangeSerializer,
        responses=WebhookEndpointSerializer,
    )
    def patch(self, request: Request, endpoint_id: UUID) -> Response:
        """Change the URL, the kinds of events or the description; switch it off, or on again."""
        form = WebhookEndpointChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        changed = services.endpoint_change(account=caller(request), endpoint_id=endpoint_id, **form.validated_data)
        return Response(WebhookEndpointSerializer(changed).data)

    @extend_schema(operation_id="webhook_delete", tags=["webhooks"], responses={204: None})
    def delete(self, request: Request, endpoint_id: UUID) -> Response:
        """Delete an endpoint and its log. What was under way may still arrive."""
        services.endpoint_delete(account=caller(request), endpoint_id=endpoint_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class EndpointSecretView(ThrottledByMethod):
    required_scope = "run"
    bound_keys = False
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(
        operation_id="webhook_secret_rotate",
        tags=["webhooks"],
        request=None,
        responses=WebhookEndpointWithSecretSerializer,
    )
    def post(self, request: Request, endpoint_id: UUID) -> Response:
        """A new secret. For a day deliveries carry the signature of the old one too."""
        rotated = services.endpoint_secret_rotate(account=caller(request), endpoint_id=endpoint_id)
        return Response(_with_secret(*rotated), headers={"Cache-Control": "no-store"})


class DeliveryListView(GenericAPIView[WebhookDelivery]):
    required_scope = "run"
    bound_keys = False
    serializer_class = WebhookDeliverySerializer
    pagination_class = KeysetPagination

    @extend_schema(
        operation_id="webhook_delivery_list", tags=["webhooks"], responses=WebhookDeliverySerializer(many=True)
    )
    def get(self, request: Request, endpoint_id: UUID) -> Response:
        """What the endpoint was told, newest first, with each attempt."""
        endpoint = selectors.endpoint_get(account=caller(request), endpoint_id=endpoint_id)
        page = self.paginate_queryset(selectors.delivery_list(endpoint))
        return self.get_paginated_response(WebhookDeliverySerializer(page, many=True).data)


class DeliveryResendView(ThrottledByMethod):
    required_scope = "run"
    bound_keys = False
    throttle_scopes = {"POST": "webhook"}

    @extend_schema(
        operation_id="webhook_delivery_resend",
        tags=["webhooks"],
        request=None,
        responses={202: WebhookDeliverySerializer},
    )
    def post(self, request: Request, endpoint_id: UUID, event_id: str) -> Response:
        """Send an event again, under the same id, at once and then as often as a new one."""
        delivery = services.delivery_resend(account=caller(request), endpoint_id=endpoint_id, event_id=event_id)
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def _with_secret(endpoint: WebhookEndpoint, secret: str) -> dict[str, Any]:
    return {**WebhookEndpointSerializer(endpoint).data, "secret": secret}
