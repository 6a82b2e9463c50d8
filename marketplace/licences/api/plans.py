"""`/api/v1/models/{id}/plans`, `/api/v1/plans/{id}/...`: price lists, buying, and what owners do with plans."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from chain import selectors as chain
from chain.bindings.structs import PlanTerms
from marketplace.api_parts import Uint256StringField
from marketplace.licences import selectors, transactions
from marketplace.licences.api.parts import (
    SENDER,
    AddressField,
    AsksTheChain,
    SenderSerializer,
    TransactionSerializer,
    TransactionsSerializer,
    address_parameter,
    query_of,
    transactions_response,
)
from marketplace.licences.tokens import NATIVE


class PlanOperatorSerializer(serializers.Serializer[Any]):
    operator = serializers.CharField(source="operator_id")
    owner = serializers.CharField()
    key = serializers.CharField(help_text="Signs attestations of use.")
    payee = serializers.CharField()
    disabled = serializers.BooleanField(source="is_disabled")


class PlanSerializer(serializers.Serializer[Any]):
    plan = Uint256StringField(source="plan.plan_id")
    model = Uint256StringField(source="plan.model_id")
    plan_hash = serializers.CharField(source="plan.plan_hash", help_text="Commits to every term and to the model.")
    token = serializers.CharField(source="plan.token", help_text="The zero address is the chain's own coin.")
    price = Uint256StringField(source="plan.price", help_text="In the token's smallest unit.")
    price_text = serializers.CharField()
    period_s = serializers.IntegerField(source="plan.period", help_text="Seconds of validity; 0 is perpetual.")
    vesting_s = serializers.IntegerField(source="plan.vesting", help_text="Seconds in which it vests; 0 is at once.")
    vesting_text = serializers.CharField(help_text="How the price becomes the publisher's.")
    entry = Uint256StringField(source="plan.entry", help_text="What of the price is the publisher's at once.")
    calls = serializers.IntegerField(source="plan.calls", help_text="Calls included; 0 is unmetered.")
    supply = serializers.IntegerField(source="plan.supply", help_text="The most licences that exist at once.")
    sold = serializers.IntegerField(help_text="Licences ever sold.")
    live = serializers.IntegerField(help_text="Licences that exist and were not cancelled.")
    fee_bps = serializers.IntegerField(source="plan.fee_bps", help_text="The protocol's fee, of all income.")
    service_bps = serializers.IntegerField(source="plan.service_bps", help_text="The operator's share of all income.")
    entry_bps = serializers.IntegerField(source="plan.entry_bps")
    operator = PlanOperatorSerializer(allow_null=True, help_text="Whose attestations of use count.")
    operator_is_publisher = serializers.BooleanField(source="is_operator_publisher")
    rights = serializers.ListField(child=serializers.CharField(), source="plan.rights")
    limits = serializers.ListField(child=serializers.CharField(), help_text="What the contract cannot do, in words.")
    retired = serializers.BooleanField(source="is_retired")
    suspended = serializers.BooleanField(source="is_suspended", help_text="Whether its model is suspended.")
    on_sale = serializers.BooleanField(source="is_on_sale")


class PurchaseSerializer(serializers.Serializer[Any]):
    plan = PlanSerializer()
    recipient = serializers.CharField()
    transactions = TransactionSerializer(many=True, help_text="To be signed and sent in this order.")


class RecipientSerializer(SenderSerializer):
    recipient = AddressField()


class PlanTermsSerializer(serializers.Serializer[Any]):
    """Terms of a plan to add. The contract checks them; what is left out is 0, and the fee is the market's own."""

    token = AddressField(default=NATIVE)
    price = Uint256StringField(help_text="In the token's smallest unit, below 2^96.")
    period_s = serializers.IntegerField(min_value=0, max_value=2**32 - 1, default=0)
    vesting_s = serializers.IntegerField(min_value=0, max_value=2**32 - 1, default=0)
    calls = serializers.IntegerField(min_value=0, max_value=2**32 - 1, default=0)
    supply = serializers.IntegerField(min_value=0, max_value=2**24 - 1)
    operator = serializers.IntegerField(min_value=0, max_value=2**32 - 1, default=0)
    service_bps = serializers.IntegerField(min_value=0, max_value=2**16 - 1, default=0)
    entry_bps = serializers.IntegerField(min_value=0, max_value=2**16 - 1, default=0)
    flags = serializers.IntegerField(
        min_value=0, max_value=255, help_text="A sum of RUN 1, DOWNLOAD 2, TRANSFERABLE 4, RENEWABLE 8."
    )
    sender = AddressField(required=False, help_text="Who will sign: the transaction is tried first.")

    def validate_price(self, price: int) -> int:
        if price >= 2**96:
            raise serializers.ValidationError("A price is below 2^96.")
        return price


class ModelPlansView(AsksTheChain):
    """The price list of a model."""

    permission_classes = (AllowAny,)
    throttle_scopes = {"POST": "order"}

    @extend_schema(operation_id="plan_list", tags=["plans"], responses=PlanSerializer(many=True))
    def get(self, request: Request, model_id: int) -> Response:
        """Plans of a model in the order in which they were added, retired ones marked."""
        return Response(PlanSerializer(selectors.plan_list_for_model(model_id, with_retired=True), many=True).data)

    @extend_schema(
        operation_id="plan_addition", tags=["plans"], request=PlanTermsSerializer, responses=TransactionsSerializer
    )
    def post(self, request: Request, model_id: int) -> Response:
        """The transaction that adds a plan, for the model's owner to sign. Nothing is recorded here."""
        form = PlanTermsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        terms = PlanTerms(
            model_id=model_id,
            price_units=given["price"],
            fee_bps=chain.market_settings().fee_bps,
            operator_id=given["operator"],
            **{
                name: given[name]
                for name in ("token", "period_s", "vesting_s", "calls", "supply", "service_bps", "entry_bps", "flags")
            },
        )
        return transactions_response(transactions.plan_calls(terms, sender=given.get("sender")))


class PlanPurchaseView(AsksTheChain):
    """What a wallet signs to buy a licence."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="plan_purchase",
        tags=["plans"],
        parameters=[address_parameter("recipient", "Who will hold the licence."), SENDER],
        responses=PurchaseSerializer,
    )
    def get(self, request: Request, plan_id: int) -> Response:
        """The transactions that buy a licence of the plan for `recipient`: for an ERC-20, the approval comes first."""
        given = query_of(request, RecipientSerializer)
        view = selectors.plan_get(plan_id)
        calls = transactions.purchase_calls(view, recipient=given["recipient"], sender=given.get("sender"))
        body = {"plan": view, "recipient": given["recipient"], "transactions": [call.json() for call in calls]}
        return Response(PurchaseSerializer(body).data)


class PlanRetirementView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="plan_retirement", tags=["plans"], parameters=[SENDER], responses=TransactionsSerializer
    )
    def get(self, request: Request, plan_id: int) -> Response:
        """The transaction that ends the sale and renewal of a plan, for the model's owner to sign."""
        sender = query_of(request, SenderSerializer).get("sender")
        return transactions_response(transactions.retirement_calls(plan_id, sender=sender))


class PlanCollectionView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="plan_collection", tags=["plans"], parameters=[SENDER], responses=TransactionsSerializer
    )
    def get(self, request: Request, plan_id: int) -> Response:
        """The transactions that collect what has vested of a plan's licences and share its income out. By anyone."""
        sender = query_of(request, SenderSerializer).get("sender")
        return transactions_response(transactions.collection_calls(plan_id, sender=sender))
