"""`/api/v1/licences`: what an account holds, what a licence is worth, and how to renew or leave it."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.api_parts import Uint256StringField
from marketplace.licences import selectors, transactions
from marketplace.licences.api.parts import (
    SENDER,
    AsksTheChain,
    FinalitySerializer,
    SenderSerializer,
    ToSerializer,
    TransactionsSerializer,
    address_parameter,
    query_of,
    transactions_response,
)
from marketplace.licences.models import LicenceDisplay
from marketplace.licences.selectors import LicenceDetail

LAST_SECOND = 2**40


class LimitsSerializer(serializers.Serializer[Any]):
    """What a licence may do at a time, all its keys together."""

    rate_calls = serializers.IntegerField(help_text="Calls in `rate_window_s`, by a token bucket.")
    rate_window_s = serializers.IntegerField()
    jobs_at_once = serializers.IntegerField(help_text="Jobs that have not ended.")


class WithLimits(serializers.Serializer[Any]):
    limits = serializers.SerializerMethodField()

    @extend_schema_field(LimitsSerializer)
    def get_limits(self, shown: Any) -> dict[str, Any]:
        plan_id = shown.plan.plan_id if hasattr(shown.plan, "plan_id") else shown.plan.plan.plan_id
        return dict(LimitsSerializer(selectors.licence_limits(plan_id)).data)


class LicenceSerializer(WithLimits):
    licence = Uint256StringField(source="licence.licence_id")
    plan = Uint256StringField(source="licence.plan_id")
    model = Uint256StringField(source="licence.model_id")
    holder = serializers.CharField()
    state = serializers.ChoiceField(LicenceDisplay.choices, help_text="By the index; the chain decides.")
    finality = FinalitySerializer(help_text="Of the purchase.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Block time; later after a suspension.")
    calls = serializers.IntegerField(help_text="Bought over the licence's life; 0 is unmetered.")
    calls_used = serializers.IntegerField(source="used", help_text="As the operator has reported on chain.")
    renewable = serializers.BooleanField(source="is_renewable")
    rights = serializers.ListField(child=serializers.CharField(), source="plan.rights")
    tx_hash = serializers.CharField(source="licence.event.tx_hash")


class CurvePointSerializer(serializers.Serializer[Any]):
    at = serializers.IntegerField(help_text="Block time, unix seconds.")
    vested = Uint256StringField()


class RefundSerializer(serializers.Serializer[Any]):
    at = serializers.IntegerField(help_text="Block time, unix seconds.")
    refund = Uint256StringField(help_text="At least this comes back in a block up to then, if no calls are reported.")
    text = serializers.CharField()


class LicenceDetailSerializer(WithLimits):
    """A licence at one block. Amounts are in the smallest unit of `token`."""

    licence = Uint256StringField(source="view.licence.licence_id")
    plan = Uint256StringField(source="plan.plan.plan_id")
    model = Uint256StringField(source="plan.plan.model_id")
    holder = serializers.CharField(source="view.holder")
    state = serializers.ChoiceField(LicenceDisplay.choices)
    rights = serializers.ListField(child=serializers.CharField(), source="plan.plan.rights")
    expires_at = serializers.DateTimeField(source="view.expires_at", allow_null=True)
    calls = serializers.IntegerField(source="view.calls")
    calls_used = serializers.IntegerField(source="view.used")
    renewable = serializers.BooleanField(source="view.is_renewable")
    token = serializers.CharField()
    amount = Uint256StringField(help_text="What the present term holds against vesting.")
    taken = Uint256StringField(help_text="How much of it has become income.")
    vested = Uint256StringField(help_text="How much of it has vested by now.")
    vested_by_use = Uint256StringField(source="use_vested", help_text="How much of it the reported calls have vested.")
    refund = Uint256StringField(help_text="What would come back now.")
    refund_text = serializers.CharField()
    refund_later = RefundSerializer(allow_null=True, help_text="What would come back at `?at=`.")
    vesting_curve = CurvePointSerializer(many=True, help_text="What vests until the term ends, for a picture.")
    settle_at = serializers.DateTimeField(allow_null=True, help_text="From when a cancelled licence is settled.")
    settleable = serializers.BooleanField(source="is_settleable")
    refund_paid = Uint256StringField(allow_null=True, help_text="What a settled licence paid back.")
    settled_tx_hash = serializers.CharField()
    finality = FinalitySerializer(help_text="Of the purchase.")
    delivery_finality = FinalitySerializer(
        allow_null=True, help_text="Of the request for the release key; only a final one releases the key."
    )
    block_number = serializers.IntegerField(source="chain.block_number")
    block_time = serializers.IntegerField(source="now")


class ModelFilterSerializer(serializers.Serializer[Any]):
    model = Uint256StringField(required=False)


class RefundTimeSerializer(serializers.Serializer[Any]):
    at = serializers.IntegerField(required=False, min_value=0, max_value=LAST_SECOND)


class LicenceListView(APIView):
    """The caller's licences."""

    required_scope = "run"
    # About all that the account holds.
    bound_keys = False

    @extend_schema(
        operation_id="licence_list",
        tags=["licences"],
        parameters=[OpenApiParameter("model", {"type": "string", "pattern": "^[0-9]{1,78}$"})],
        responses=LicenceSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Licences that the account holds by the index, newest first, at most 500."""
        given = query_of(request, ModelFilterSerializer)
        views = selectors.licence_list_for_holder(caller(request).address, model_id=given.get("model"))
        return Response(LicenceSerializer(views, many=True).data)


class LicenceDetailView(AsksTheChain):
    """What the chain says about a licence's money."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="licence_get",
        tags=["licences"],
        parameters=[OpenApiParameter("at", {"type": "integer", "minimum": 0, "maximum": LAST_SECOND})],
        responses=LicenceDetailSerializer,
    )
    def get(self, request: Request, licence_id: int) -> Response:
        """A licence as the chain states it at its newest block: what has vested, and what would come back."""
        at = query_of(request, RefundTimeSerializer).get("at")
        detail = selectors.licence_detail(licence_id)
        body = LicenceDetailSerializer(_Shown(detail, at)).data
        return Response(body, headers={"Cache-Control": "no-store"})


class LicenceRenewalView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="licence_renewal", tags=["licences"], parameters=[SENDER], responses=TransactionsSerializer
    )
    def get(self, request: Request, licence_id: int) -> Response:
        """The transactions that begin a new term; whoever signs pays. For an ERC-20, the approval comes first."""
        sender = query_of(request, SenderSerializer).get("sender")
        return transactions_response(transactions.renewal_calls(licence_id, sender=sender))


class LicenceCancellationView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="licence_cancellation",
        tags=["licences"],
        parameters=[address_parameter("to", "Who is paid what has not vested."), SENDER],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request, licence_id: int) -> Response:
        """The transaction that ends a licence, for its holder to sign."""
        given = query_of(request, ToSerializer)
        calls = transactions.cancellation_calls(licence_id, to=given["to"], sender=given.get("sender"))
        return transactions_response(calls)


class LicenceSettlementView(AsksTheChain):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="licence_settlement",
        tags=["licences"],
        parameters=[address_parameter("to", "Who is paid: the holder, unless the holder signs."), SENDER],
        responses=TransactionsSerializer,
    )
    def get(self, request: Request, licence_id: int) -> Response:
        """The transaction that pays the refund of a cancelled licence."""
        given = query_of(request, ToSerializer)
        calls = transactions.settlement_calls(licence_id, to=given["to"], sender=given.get("sender"))
        return transactions_response(calls)


class _Shown:
    """A detail with what the answer adds to it."""

    def __init__(self, detail: LicenceDetail, at: int | None) -> None:
        self._detail = detail
        self.vesting_curve = [{"at": time, "vested": vested} for time, vested in detail.curve]
        self.refund_later = None
        if at is not None:
            text = detail.refund_text_at(at)
            self.refund_later = {"at": max(at, detail.now), "refund": detail.refund_at(at), "text": text}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detail, name)
