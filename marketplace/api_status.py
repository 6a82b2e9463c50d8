"""`/api/v1/status`: how current the site's picture of the chain is, for programs and for health checks.

Reads the database and the address book alone: it answers while the node and the broker are down.
"""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chain.selectors import ChainStatus
from chain.status import SiteStatus, site_status


class LastErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


class CurrentErrorSerializer(LastErrorSerializer):
    message = serializers.CharField()


class StreamStatusSerializer(serializers.Serializer[Any]):
    """One chain's logs as they are indexed. What is not known is null."""

    chain_id = serializers.IntegerField()
    ok = serializers.BooleanField()
    head = serializers.IntegerField(allow_null=True, help_text="Newest block of the node, as last reported.")
    head_at = serializers.DateTimeField(allow_null=True, help_text="Its own time.")
    head_age_s = serializers.IntegerField(allow_null=True, help_text="Seconds since then.")
    finalized = serializers.IntegerField(allow_null=True, help_text="Newest final block of the node.")
    next_block = serializers.IntegerField(allow_null=True, help_text="First block that is not indexed.")
    indexed_at = serializers.DateTimeField(
        source="last_block_at", allow_null=True, help_text="Time of the newest indexed block."
    )
    lag_blocks = serializers.IntegerField(source="lag", allow_null=True, help_text="Blocks that are not indexed.")
    lag_s = serializers.IntegerField(
        allow_null=True, help_text="Seconds of block time between the newest indexed block and the head."
    )
    reported_at = serializers.DateTimeField(
        source="seen_at", allow_null=True, help_text="When the indexer last had an answer from the node."
    )
    report_age_s = serializers.IntegerField(source="silent_s", allow_null=True, help_text="Seconds since then.")
    parked_logs = serializers.IntegerField(help_text="Logs that could not be decoded and are set aside.")
    error = serializers.SerializerMethodField(help_text="What is wrong now; null where nothing is.")
    last_error = serializers.SerializerMethodField(help_text="The last error, also where it is over.")

    @extend_schema_field(CurrentErrorSerializer(allow_null=True))
    def get_error(self, stream: ChainStatus) -> dict[str, Any] | None:
        if not stream.error_code:
            return None
        # Silence is noticed here, not reported: it has no time of its own.
        at = stream.error_at if stream.error_code == stream.last_error_code else None
        return CurrentErrorSerializer({"code": stream.error_code, "message": stream.error_message, "at": at}).data

    @extend_schema_field(LastErrorSerializer(allow_null=True))
    def get_last_error(self, stream: ChainStatus) -> dict[str, Any] | None:
        if not stream.last_error_code:
            return None
        return LastErrorSerializer({"code": stream.last_error_code, "at": stream.error_at}).data


class ContractStatusSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    address = serializers.CharField()
    code_hash = serializers.CharField(help_text="keccak-256 of the runtime code, as in the address book.")
    code_matches = serializers.BooleanField(
        allow_null=True, help_text="Whether the node had that code at the last check; null before there was one."
    )
    checked_at = serializers.DateTimeField(allow_null=True)


class RolesSerializer(serializers.Serializer[Any]):
    """Who holds the market's roles, by its events. Null where the index has no event of it."""

    admin = serializers.CharField(allow_null=True, default=None)
    guardian = serializers.CharField(allow_null=True, default=None)
    pauser = serializers.CharField(allow_null=True, default=None)
    treasury = serializers.CharField(allow_null=True, default=None)
    fee_bps = serializers.IntegerField(allow_null=True, default=None, help_text="Of plans to come.")
    paused = serializers.BooleanField(allow_null=True, default=None, help_text="Whether sales are paused.")


class EndpointSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="Its place in the settings; never its address.")
    state = serializers.ChoiceField(["unknown", "healthy", "lagging", "limited", "failing", "wrong_chain"])
    head = serializers.IntegerField(allow_null=True, help_text="The newest block that it named.")
    lag = serializers.IntegerField(allow_null=True, help_text="Blocks behind the best endpoint.")
    failures = serializers.IntegerField(help_text="In a row.")
    last_error_code = serializers.CharField()
    answered_at = serializers.DateTimeField(allow_null=True)


class StatusSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField(help_text="Whether pages show the chain as it is.")
    checked_at = serializers.DateTimeField()
    streams = serializers.SerializerMethodField()
    contracts = ContractStatusSerializer(many=True)
    contracts_error = serializers.CharField(source="book_error", help_text="Why no contract is listed; else empty.")
    roles = RolesSerializer()
    endpoints = EndpointSerializer(many=True, help_text="How the process that answers gets on with each node.")

    @extend_schema_field(StreamStatusSerializer(many=True))
    def get_streams(self, status: SiteStatus) -> list[dict[str, Any]]:
        return [StreamStatusSerializer(status.stream).data]


class StatusView(APIView):
    permission_classes = (AllowAny,)
    # A health check carries no credentials, and bad ones must not make it fail.
    authentication_classes = ()

    @extend_schema(
        operation_id="status",
        tags=["status"],
        parameters=[
            OpenApiParameter("strict", {"type": "string", "enum": ["1"]}, description="Answer 503 where `ok` is false.")
        ],
        responses={200: StatusSerializer, 503: StatusSerializer},
    )
    def get(self, request: Request) -> Response:
        """How current the site's picture of the chain is. Always 200, unless `?strict=1` asks for more."""
        status = site_status()
        return Response(
            StatusSerializer(status).data,
            status=status_code(status, strict=request.query_params.get("strict", "")),
            headers={"Cache-Control": "no-store"},
        )


def status_code(status: SiteStatus, *, strict: str) -> int:
    """503 where `strict` is `1` and the site is not well: what a load balancer understands."""
    return HTTPStatus.SERVICE_UNAVAILABLE if strict == "1" and not status.ok else HTTPStatus.OK
