"""`/api/v1/models/{id}/plans`, `/api/v1/plans/{id}/purchase`, `/api/v1/licences`."""

from dataclasses import replace
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chain import selectors as chain
from chain.transactions import TransactionRequest, call_data
from marketplace.accounts.authentication import caller
from marketplace.api_parts import Uint256StringField
from marketplace.licences import selectors
from marketplace.licences.errors import PlanRetiredError
from marketplace.licences.models import Plan
from marketplace.licences.tokens import NATIVE, amount_text

ADDRESS = r"^0x[0-9a-fA-F]{40}\Z"


class PlanSerializer(serializers.Serializer[Any]):
    plan = Uint256StringField(source="plan.plan_id")
    model = Uint256StringField(source="plan.model_id")
    plan_hash = serializers.CharField(source="plan.plan_hash", help_text="Commits to every term and to the model.")
    token = serializers.CharField(source="plan.token", help_text="The zero address is the chain's own coin.")
    price = Uint256StringField(source="plan.price", help_text="In the token's smallest unit.")
    price_text = serializers.CharField()
    period_s = serializers.IntegerField(source="plan.period", help_text="Seconds of validity; 0 is perpetual.")
    calls = serializers.IntegerField(source="plan.calls", help_text="Calls included; 0 is unmetered.")
    supply = serializers.IntegerField(source="plan.supply")
    sold = serializers.IntegerField()
    rights = serializers.ListField(child=serializers.CharField(), source="plan.rights")
    retired = serializers.BooleanField(source="is_retired")
    on_sale = serializers.BooleanField(source="is_on_sale")


class TransactionSerializer(serializers.Serializer[Any]):
    purpose = serializers.ChoiceField(["approve", "buy"])
    summary = serializers.CharField(help_text="What signing it does, for people.")
    chain_id = serializers.CharField()
    to = serializers.CharField()
    data = serializers.CharField()  # type: ignore[assignment]
    value = serializers.CharField(help_text="In wei.")


class PurchaseSerializer(serializers.Serializer[Any]):
    plan = PlanSerializer()
    recipient = serializers.CharField()
    transactions = TransactionSerializer(many=True, help_text="To be signed and sent in this order.")


class LicenceSerializer(serializers.Serializer[Any]):
    licence = Uint256StringField(source="licence.licence_id")
    plan = Uint256StringField(source="licence.plan_id")
    model = Uint256StringField(source="licence.model_id")
    holder = serializers.CharField()
    state = serializers.ChoiceField(["pending", "confirmed", "expired"], help_text="By the index; the chain decides.")
    depth = serializers.IntegerField(help_text="Blocks from the purchase to the head, its own included.")
    expires_at = serializers.DateTimeField(allow_null=True)
    calls = serializers.IntegerField(source="licence.calls")
    rights = serializers.ListField(child=serializers.CharField(), source="plan.rights")
    tx_hash = serializers.CharField(source="licence.event.tx_hash")


class ModelPlansView(APIView):
    """The price list of a model."""

    permission_classes = (AllowAny,)

    @extend_schema(operation_id="plan_list", tags=["plans"], responses=PlanSerializer(many=True))
    def get(self, request: Request, model_id: int) -> Response:
        """Plans of a model in the order in which they were added, retired ones marked."""
        return Response(PlanSerializer(selectors.plan_list_for_model(model_id, with_retired=True), many=True).data)


class PlanPurchaseView(APIView):
    """What a wallet signs to buy a licence."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="plan_purchase",
        tags=["plans"],
        parameters=[OpenApiParameter("recipient", {"type": "string", "pattern": ADDRESS}, required=True)],
        responses=PurchaseSerializer,
    )
    def get(self, request: Request, plan_id: int) -> Response:
        """The transactions that buy a licence of the plan for `recipient`: for an ERC-20, the approval comes first."""
        form = _RecipientSerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        recipient = form.validated_data["recipient"]
        view = selectors.plan_get(plan_id)
        if view.is_retired:
            raise PlanRetiredError(f"Plan {plan_id} is not sold any more. Choose another plan of the model.")
        body = {"plan": view, "recipient": recipient, "transactions": purchase_transactions(view.plan, recipient)}
        return Response(PurchaseSerializer(body).data)


class LicenceListView(APIView):
    """The caller's licences."""

    required_scope = "run"

    @extend_schema(
        operation_id="licence_list",
        tags=["licences"],
        parameters=[OpenApiParameter("model", {"type": "string", "pattern": "^[0-9]{1,78}$"})],
        responses=LicenceSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Licences that the account holds by the index, newest first, at most 500."""
        form = _ModelFilterSerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        views = selectors.licence_list_for_holder(caller(request).address, model_id=form.validated_data.get("model"))
        return Response(LicenceSerializer(views, many=True).data)


class _RecipientSerializer(serializers.Serializer[Any]):
    recipient = serializers.RegexField(ADDRESS)


class _ModelFilterSerializer(serializers.Serializer[Any]):
    model = Uint256StringField(required=False)


def purchase_transactions(plan: Plan, recipient: str) -> list[dict[str, Any]]:
    """Calls to sign, in order. Raises what the address book raises, and EncodingError."""
    native = plan.token == NATIVE
    price = amount_text(plan.price, plan.token)
    buy = call_data(
        "LicenceMarket",
        "buy",
        [plan.plan_id, plan.plan_hash, recipient.lower()],
        value=plan.price if native else 0,
    )
    calls = [_transaction("buy", f"Buy a licence of plan {plan.number} of model {plan.model_id} for {price}", buy)]
    if not native and plan.price:
        market = chain.contract_address("LicenceMarket")
        # The approval is for this price alone: a market that turned bad could take no more than what was agreed.
        approve = replace(call_data("TestUSD", "approve", [market, plan.price]), to=plan.token)
        calls.insert(0, _transaction("approve", f"Let the market take {price}", approve))
    return calls


def _transaction(purpose: str, summary: str, request: TransactionRequest) -> dict[str, Any]:
    return {"purpose": purpose, "summary": summary, **request.json()}
