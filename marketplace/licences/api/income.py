"""Income of models and accounts, and operators: who earned what, and how to get it paid."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.api_parts import Uint256StringField
from marketplace.licences import selectors, transactions
from marketplace.licences.api.parts import (
    ADDRESS,
    SENDER,
    AccountsSerializer,
    AddressField,
    AsksTheChain,
    TokenToSerializer,
    TransactionsSerializer,
    address_parameter,
    query_of,
    transactions_response,
)
from marketplace.licences.api.plans import PlanOperatorSerializer
from models_registry import selectors as registry

KEY = address_parameter("key", "Signs attestations of use.")
PAYEE = address_parameter("payee", "Is credited with service shares.")
TOKEN = address_parameter("token", "The zero address is the chain's own coin.")
TO = address_parameter("to", "Who is paid.")


class ShareSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["fee", "service", "ancestor", "publisher"])
    bps = serializers.IntegerField()
    of = serializers.ChoiceField(["income", "what is left"], help_text="What is left after fee and service share.")
    account = serializers.CharField(help_text="Who is credited; empty for models.")
    model = Uint256StringField(source="model_id")
    unsplit = Uint256StringField(help_text="What splitting now would credit.")


class PlanIncomeSerializer(serializers.Serializer[Any]):
    plan = Uint256StringField(source="view.plan.plan_id")
    held = Uint256StringField()
    vested = Uint256StringField()
    earned = Uint256StringField(help_text="All that ever became the plan's income.")
    unsplit = Uint256StringField()
    shares = ShareSerializer(many=True)


class ModelIncomeSerializer(serializers.Serializer[Any]):
    """Money of a model in one token, in its smallest unit; the first three before shares are taken."""

    model = Uint256StringField(source="model_id")
    token = serializers.CharField()
    held = Uint256StringField(help_text="Paid and not vested: the holders could still take it along.")
    vested = Uint256StringField(help_text="Vested and not collected.")
    unsplit = Uint256StringField(help_text="Collected and not shared out.")
    available = Uint256StringField(help_text="What the model's owner can withdraw now.")
    earned = Uint256StringField(help_text="What the model was ever credited.")
    earned_final = Uint256StringField(help_text="How much of it no re-org can take back.")
    earned_not_final = Uint256StringField()
    sales_not_final = Uint256StringField(help_text="What buyers paid in blocks that are not final yet.")
    withdrawn = Uint256StringField()
    plans = PlanIncomeSerializer(many=True)


class AccountIncomeSerializer(serializers.Serializer[Any]):
    account = serializers.CharField()
    token = serializers.CharField()
    earned = Uint256StringField()
    earned_final = Uint256StringField(help_text="How much of it no re-org can take back.")
    earned_not_final = Uint256StringField()
    withdrawn = Uint256StringField()
    available = Uint256StringField()


class OwnerSerializer(serializers.Serializer[Any]):
    owner = AddressField()


class AccountTokenToSerializer(serializers.Serializer[Any]):
    token = AddressField()
    to = AddressField()


class ModelIncomeView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="model_income", tags=["income"], responses=ModelIncomeSerializer(many=True))
    def get(self, request: Request, model_id: int) -> Response:
        """Income of a model per token, by the chain at its newest block."""
        registry.model_owner(model_id)
        return Response(ModelIncomeSerializer(selectors.income_for_models([model_id])[model_id], many=True).data)


class ModelWithdrawalView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="model_withdrawal",
        tags=["income"],
        parameters=[TOKEN, TO, SENDER],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request, model_id: int) -> Response:
        """The transaction that pays out the model's whole credit in a token, for the model's owner to sign."""
        registry.model_owner(model_id)
        return transactions_response(transactions.withdrawal_calls(model_id, **query_of(request, TokenToSerializer)))


class AccountIncomeView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="account_income",
        tags=["income"],
        parameters=[OpenApiParameter("address", {"type": "string", "pattern": ADDRESS}, OpenApiParameter.PATH)],
        responses=AccountIncomeSerializer(many=True),
    )
    def get(self, request: Request, address: str) -> Response:
        """Service shares and fees of an account per token."""
        return Response(AccountIncomeSerializer(selectors.operator_income_for_payee(address), many=True).data)


class AccountWithdrawalView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="account_withdrawal",
        tags=["income"],
        parameters=[
            OpenApiParameter("address", {"type": "string", "pattern": ADDRESS}, OpenApiParameter.PATH),
            TOKEN,
            TO,
        ],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request, address: str) -> Response:
        """The transaction that pays out the account's whole credit in a token, for the account to sign; it is tried."""
        given = query_of(request, AccountTokenToSerializer)
        return transactions_response(transactions.account_withdrawal_calls(sender=address, **given))


class OperatorListView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="operator_list",
        tags=["operators"],
        parameters=[address_parameter("owner", "Who registered them.")],
        responses=PlanOperatorSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The operators that an address registered."""
        owner = query_of(request, OwnerSerializer)["owner"]
        return Response(PlanOperatorSerializer(selectors.operator_list_for_owner(owner), many=True).data)


class OperatorView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="operator_get", tags=["operators"], responses=PlanOperatorSerializer)
    def get(self, request: Request, operator_id: int) -> Response:
        """An operator: who owns it, signs for it and is paid."""
        return Response(PlanOperatorSerializer(selectors.operator_get(operator_id)).data)


class OperatorRegistrationView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="operator_registration",
        tags=["operators"],
        parameters=[KEY, PAYEE, SENDER],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request) -> Response:
        """The transaction that registers an operator, owned by who signs it."""
        return transactions_response(transactions.operator_registration_calls(**query_of(request, AccountsSerializer)))


class OperatorChangeView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="operator_change",
        tags=["operators"],
        parameters=[KEY, PAYEE, SENDER],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request, operator_id: int) -> Response:
        """The transaction that names an operator's key and payee, for its owner to sign."""
        given = query_of(request, AccountsSerializer)
        return transactions_response(transactions.operator_change_calls(operator_id, **given))
