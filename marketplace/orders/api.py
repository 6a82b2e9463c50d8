"""`/api/v1/orders`: transactions that the caller sent, and what became of them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.api_parts import KeysetPagination, ThrottledByMethod, Uint256StringField
from marketplace.orders import selectors, services
from marketplace.orders.models import Order, OrderKind, OrderState


class OrderCreateSerializer(serializers.Serializer[Any]):
    tx_hash = serializers.RegexField(r"^0x[0-9a-fA-F]{64}\Z")
    kind = serializers.ChoiceField(OrderKind.choices, default=OrderKind.BUY)
    plan = Uint256StringField(required=False, allow_null=True)
    licence = Uint256StringField(
        required=False, allow_null=True, help_text="What a renewal, a cancel, a settlement or a delivery is about."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["kind"] == OrderKind.BUY and attrs.get("plan") is None:
            raise serializers.ValidationError({"plan": "A purchase names its plan."})
        return attrs


class OrderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(OrderKind.choices)
    tx_hash = serializers.CharField()
    plan = Uint256StringField(source="plan_id", allow_null=True)
    state = serializers.ChoiceField(OrderState.choices)
    message = serializers.SerializerMethodField()
    error = serializers.JSONField(allow_null=True)
    licence = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_message(self, order: Order) -> str:
        return selectors.order_message(order)

    def get_licence(self, order: Order) -> str | None:
        """The licence that it is about; of a purchase, once its log was indexed."""
        if order.licence_id is not None:
            return str(order.licence_id)
        return None if order.event is None else order.event.args.get("licenceId")


class OrderListView(ThrottledByMethod, GenericAPIView[Order]):
    required_scope = "run"
    pagination_class = KeysetPagination
    serializer_class = OrderSerializer

    throttle_scopes = {"POST": "order"}

    @extend_schema(operation_id="order_list", tags=["orders"], responses=OrderSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The account's orders, newest first."""
        page = self.paginate_queryset(selectors.order_list(caller(request)))
        return self.get_paginated_response(OrderSerializer(page, many=True).data)

    @extend_schema(
        operation_id="order_create",
        tags=["orders"],
        request=OrderCreateSerializer,
        responses={201: OrderSerializer, 200: OrderSerializer},
    )
    def post(self, request: Request) -> Response:
        """Record a transaction that was sent, to follow it. The same hash again gives the same order."""
        form = OrderCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        order, is_new = services.order_record(
            account=caller(request),
            tx_hash=given["tx_hash"],
            kind=given["kind"],
            plan_id=given.get("plan"),
            licence_id=given.get("licence"),
        )
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(OrderSerializer(order).data, status=code, headers={"Location": f"/api/v1/orders/{order.pk}"})


class OrderView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="order_get", tags=["orders"], responses=OrderSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """One order of the account."""
        return Response(OrderSerializer(selectors.order_get(account=caller(request), order_id=order_id)).data)
