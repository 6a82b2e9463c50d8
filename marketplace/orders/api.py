"""`/api/v1/orders`: transactions that the caller sent, and what became of them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts.authentication import caller
from marketplace.api_parts import KeysetPagination, ThrottledByMethod, Uint256StringField
from marketplace.orders import selectors, services
from marketplace.orders.models import Order, OrderKind, OrderState

TX_HASH = r"^0x[0-9a-fA-F]{64}\Z"
# EIP-2681 ends nonces at 2^64 - 2; no account gets near what the column holds.
NONCE_MAX = 2**63 - 1


class OrderCreateSerializer(serializers.Serializer[Any]):
    tx_hash = serializers.RegexField(
        TX_HASH,
        required=False,
        allow_null=True,
        help_text="Leave it out before the wallet is asked; add it afterwards.",
    )
    kind = serializers.ChoiceField(OrderKind.choices, default=OrderKind.BUY)
    plan = Uint256StringField(required=False, allow_null=True)
    licence = Uint256StringField(
        required=False, allow_null=True, help_text="What a renewal, a cancel, a settlement or a delivery is about."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["kind"] == OrderKind.BUY and attrs.get("plan") is None:
            raise serializers.ValidationError({"plan": "A purchase names its plan."})
        return attrs


class OrderChangeSerializer(serializers.Serializer[Any]):
    tx_hash = serializers.RegexField(TX_HASH, required=False, help_text="What the wallet answered.")
    nonce = serializers.IntegerField(
        required=False, min_value=0, max_value=NONCE_MAX, help_text="The nonce that the wallet used."
    )
    rejected = serializers.BooleanField(
        required=False, default=False, help_text="The wallet refused; nothing was sent."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        is_told = "tx_hash" in attrs or "nonce" in attrs
        if is_told == attrs["rejected"]:
            raise serializers.ValidationError("Give the hash, the nonce or both, or say that the wallet rejected it.")
        return attrs


class OrderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(OrderKind.choices)
    tx_hash = serializers.CharField(allow_null=True)
    replaced_by = serializers.SerializerMethodField()
    nonce = serializers.IntegerField(allow_null=True)
    plan = Uint256StringField(source="plan_id", allow_null=True)
    state = serializers.ChoiceField(OrderState.choices)
    message = serializers.SerializerMethodField()
    error = serializers.JSONField(allow_null=True)
    licence = serializers.SerializerMethodField()
    block = serializers.SerializerMethodField()
    confirmations = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_replaced_by(self, order: Order) -> str | None:
        return order.replaced_by or None

    def get_block(self, order: Order) -> int | None:
        return selectors.order_block(order)

    def get_confirmations(self, order: Order) -> int | None:
        return selectors.order_confirmations(order)

    def get_message(self, order: Order) -> str:
        return selectors.order_message(order)

    def get_licence(self, order: Order) -> str | None:
        """The licence that it is about; of a purchase, once its log was indexed."""
        if order.licence_id is not None:
            return str(order.licence_id)
        return None if order.event is None else order.event.args.get("licenceId")


class OrderListView(ThrottledByMethod, GenericAPIView[Order]):
    required_scope = "run"
    # About all that the account holds.
    bound_keys = False
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
        """Record a transaction that was sent, or is about to be, to follow it. The same hash gives the same order."""
        form = OrderCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        about = {"kind": given["kind"], "plan_id": given.get("plan"), "licence_id": given.get("licence")}
        if given.get("tx_hash") is None:
            order, is_new = services.order_intend(account=caller(request), **about), True
        else:
            order, is_new = services.order_record(account=caller(request), tx_hash=given["tx_hash"], **about)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(OrderSerializer(order).data, status=code, headers={"Location": f"/api/v1/orders/{order.pk}"})


class OrderView(ThrottledByMethod):
    required_scope = "run"
    # About all that the account holds.
    bound_keys = False
    throttle_scopes = {"PATCH": "order"}

    @extend_schema(operation_id="order_get", tags=["orders"], responses=OrderSerializer)
    def get(self, request: Request, order_id: UUID) -> Response:
        """One order of the account."""
        return Response(OrderSerializer(selectors.order_get(account=caller(request), order_id=order_id)).data)

    @extend_schema(
        operation_id="order_change", tags=["orders"], request=OrderChangeSerializer, responses=OrderSerializer
    )
    def patch(self, request: Request, order_id: UUID) -> Response:
        """Add what the wallet answered: the hash, the nonce, or that it rejected. The same again changes nothing."""
        order = selectors.order_get(account=caller(request), order_id=order_id)
        form = OrderChangeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        if given["rejected"]:
            order = services.order_reject(order=order)
        else:
            order = services.order_tell(order=order, tx_hash=given.get("tx_hash"), nonce=given.get("nonce"))
        return Response(OrderSerializer(order).data)
