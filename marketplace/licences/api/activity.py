"""`/api/v1/activity` and the same per model and per address: indexed events, newest first."""

from typing import Any
from urllib.parse import urlencode

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chain.activity import PAGE_LIMIT
from chain.models import Topic
from marketplace.api_parts import Uint256StringField
from marketplace.licences import selectors
from marketplace.licences.api.parts import ADDRESS, FinalitySerializer, query_of
from marketplace.licences.selectors import Activity, ActivityPage
from marketplace.licences.selectors.activity import PAGE_SIZE
from models_registry import selectors as registry

KINDS = [topic.label for topic in Topic]
_FEED = [
    OpenApiParameter("kind", {"type": "string", "enum": KINDS}, description="One kind of event alone."),
    OpenApiParameter("after", {"type": "string", "pattern": "^[0-9]{1,18}$"}, description="The next_cursor."),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT}),
]


class ActivitySerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(KINDS, source="topic.label")
    contract = serializers.CharField(source="event.contract")
    event = serializers.CharField(source="event.name")
    text = serializers.CharField(help_text="A sentence for people. Names of models in it are their publishers' words.")
    model = Uint256StringField(source="about.model_id", allow_null=True)
    plan = Uint256StringField(source="about.plan_id", allow_null=True)
    licence = Uint256StringField(source="about.licence_id", allow_null=True)
    accounts = serializers.ListField(child=serializers.CharField(), source="about.accounts")
    args = serializers.SerializerMethodField(help_text="The event's arguments, integers as decimal strings.")
    tx_hash = serializers.CharField(source="event.tx_hash")
    log_index = serializers.IntegerField(source="event.log_index")
    block_number = serializers.IntegerField(source="event.block_number")
    block_hash = serializers.CharField(source="event.block_hash")
    at = serializers.DateTimeField(source="event.block_time", help_text="The block's time.")
    finality = FinalitySerializer()
    explorer_url = serializers.CharField(help_text="Empty where the site names no block explorer.")

    def get_args(self, entry: Activity) -> dict[str, Any]:
        args: dict[str, Any] = entry.event.args
        return args


class ActivityPageSerializer(serializers.Serializer[Any]):
    results = ActivitySerializer(many=True, source="entries")
    next_cursor = serializers.CharField(help_text="Goes into `after`; empty at the end.")


class FeedSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(KINDS, required=False)
    after = serializers.CharField(required=False, default="", max_length=100)
    limit = serializers.IntegerField(required=False, default=PAGE_SIZE, min_value=1, max_value=PAGE_LIMIT)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs.pop("kind", None)
        return {**attrs, "topic": Topic(KINDS.index(kind) + 1) if kind is not None else None}


class ActivityListView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="activity_list", tags=["activity"], parameters=_FEED, responses=ActivityPageSerializer)
    def get(self, request: Request) -> Response:
        """What happened on the market: indexed events, newest first."""
        return _response(request, selectors.activity_of_market(**query_of(request, FeedSerializer)))


class ModelActivityView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="model_activity", tags=["activity"], parameters=_FEED, responses=ActivityPageSerializer)
    def get(self, request: Request, model_id: int) -> Response:
        """What happened to a model, its plans and its licences, newest first."""
        registry.model_owner(model_id)
        return _response(request, selectors.activity_of_model(model_id, **query_of(request, FeedSerializer)))


class AccountActivityView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="account_activity",
        tags=["activity"],
        parameters=[
            OpenApiParameter("address", {"type": "string", "pattern": ADDRESS}, OpenApiParameter.PATH),
            *_FEED,
        ],
        responses=ActivityPageSerializer,
    )
    def get(self, request: Request, address: str) -> Response:
        """What happened that names an address, newest first."""
        return _response(request, selectors.activity_of_account(address, **query_of(request, FeedSerializer)))


def _response(request: Request, page: ActivityPage) -> Response:
    response = Response(ActivityPageSerializer(page).data)
    if page.next_cursor:
        following = urlencode({**request.query_params.dict(), "after": page.next_cursor})
        response["Link"] = f'<{request.build_absolute_uri("?" + following)}>; rel="next"'
    return response
