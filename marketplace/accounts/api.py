"""`/api/v1/session` and `/api/v1/keys`."""

from datetime import datetime
from typing import Any

from django.contrib.auth import logout
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts import selectors, services
from marketplace.accounts.authentication import caller
from marketplace.accounts.models import ApiKey, CallCapPeriod, KeyScope
from marketplace.api_parts import ThrottledByMethod, Uint256StringField
from models_registry.api_fields import BoundedListField

ADDRESS = r"^0x[0-9a-fA-F]{40}\Z"
# What a column of the database holds exactly on every database.
MOST_CALLS = 2**53
NO_STORE = {"Cache-Control": "no-store"}


class ChallengeSerializer(serializers.Serializer[Any]):
    nonce = serializers.CharField()
    message = serializers.CharField(allow_null=True, help_text="What the wallet signs; null without `address`.")
    expires_at = serializers.DateTimeField()


class NonceQuerySerializer(serializers.Serializer[Any]):
    address = serializers.RegexField(ADDRESS, required=False)


class SignInSerializer(serializers.Serializer[Any]):
    # An EIP-4361 message ends its lines with LF and may begin or end with none of its own: keep it as it came.
    message = serializers.CharField(max_length=4000, trim_whitespace=False)
    signature = serializers.RegexField(r"^0x[0-9a-fA-F]+\Z", max_length=10_000)


class SessionSerializer(serializers.Serializer[Any]):
    address = serializers.CharField(allow_null=True)


class KeySerializer(serializers.Serializer[Any]):
    prefix = serializers.CharField(read_only=True, help_text="Names the key; not secret.")
    name = serializers.CharField(max_length=80)
    scopes = BoundedListField(child=serializers.ChoiceField(KeyScope.choices), min_length=1, max_length=2)
    created_at = serializers.DateTimeField(read_only=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)
    licence = Uint256StringField(
        source="licence_id",
        required=False,
        allow_null=True,
        help_text="Binds the key to one licence; its scope is run.",
    )
    calls_cap = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MOST_CALLS, help_text="How many calls it may use."
    )
    calls_cap_per = serializers.ChoiceField(
        CallCapPeriod.choices, required=False, help_text="In all (the default with a cap), or per day (UTC)."
    )
    calls_used = serializers.IntegerField(read_only=True, help_text="Calls of jobs that succeeded, in all.")
    calls_reserved = serializers.IntegerField(read_only=True, help_text="Calls of jobs that have not ended.")
    calls_left = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="What the cap still lets through now; null without one."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("licence_id") is not None and set(attrs["scopes"]) != {KeyScope.RUN}:
            raise serializers.ValidationError({"scopes": "A key that is bound to a licence has the scope run alone."})
        if attrs.get("calls_cap") is None and attrs.pop("calls_cap_per", None):
            raise serializers.ValidationError({"calls_cap": "Say how many calls, or leave the period out."})
        return attrs

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("The key would have expired already. Give a moment to come, or none.")
        return value


class CreatedKeySerializer(KeySerializer):
    key = serializers.CharField(read_only=True, help_text="The key itself. It is shown this once.")


class SessionNonceView(APIView):
    """A challenge to sign."""

    permission_classes = (AllowAny,)
    throttle_scope = "sign-in"

    @extend_schema(
        operation_id="session_nonce",
        tags=["session"],
        parameters=[OpenApiParameter("address", {"type": "string", "pattern": ADDRESS})],
        responses=ChallengeSerializer,
    )
    def get(self, request: Request) -> Response:
        """Start a sign-in: a message for the wallet of `address`, good for one answer within five minutes."""
        form = NonceQuerySerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        challenge = services.sign_in_begin(session=request.session, address=form.validated_data.get("address"))
        return Response(ChallengeSerializer(challenge).data, headers=NO_STORE)


class SessionView(ThrottledByMethod):
    """Who is signed in."""

    permission_classes = (AllowAny,)
    # A key does not sign in; asking who it speaks for is harmless but belongs to no scope.
    required_scope = None

    throttle_scopes = {"POST": "sign-in"}

    @extend_schema(operation_id="session_get", tags=["session"], responses=SessionSerializer)
    def get(self, request: Request) -> Response:
        """The signed-in address, or null."""
        return Response({"address": getattr(request.user, "address", None)}, headers=NO_STORE)

    @extend_schema(
        operation_id="session_create", tags=["session"], request=SignInSerializer, responses={201: SessionSerializer}
    )
    def post(self, request: Request) -> Response:
        """Sign in with the signed challenge (EIP-4361)."""
        form = SignInSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        account = services.sign_in_finish(request=request._request, **form.validated_data)
        return Response({"address": account.address}, status=status.HTTP_201_CREATED, headers=NO_STORE)

    @extend_schema(operation_id="session_delete", tags=["session"], responses={204: None})
    def delete(self, request: Request) -> Response:
        """Sign out."""
        logout(request._request)
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyListView(ThrottledByMethod):
    """The account's API keys. Sessions only: a key cannot make keys."""

    throttle_scopes = {"POST": "key"}

    @extend_schema(operation_id="key_list", tags=["keys"], responses=KeySerializer(many=True))
    def get(self, request: Request) -> Response:
        """All keys of the account, newest first, without their secrets."""
        return Response(KeySerializer(selectors.api_key_list(caller(request)), many=True).data)

    @extend_schema(
        operation_id="key_create", tags=["keys"], request=KeySerializer, responses={201: CreatedKeySerializer}
    )
    def post(self, request: Request) -> Response:
        """Create a key. The answer is the only place where it is shown."""
        form = KeySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        row, key = services.api_key_create(account=caller(request), **form.validated_data)
        body = {**KeySerializer(row).data, "key": key}
        return Response(body, status=status.HTTP_201_CREATED, headers=NO_STORE)


class KeyView(APIView):
    @extend_schema(operation_id="key_revoke", tags=["keys"], responses=KeySerializer)
    def delete(self, request: Request, prefix: str) -> Response:
        """Revoke a key at once. The row stays, so that its history can be read."""
        row: ApiKey = services.api_key_revoke(account=caller(request), prefix=prefix)
        return Response(KeySerializer(row).data)
