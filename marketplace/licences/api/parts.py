"""What the views of this domain share: parameters, and transactions as the API shows them."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from chain.abi import checksum
from chain.finality import Tier
from marketplace.api_parts import ThrottledByMethod
from marketplace.licences.transactions import WalletCall

ADDRESS = r"^0x[0-9a-fA-F]{40}\Z"
_ADDRESS_SCHEMA = {"type": "string", "pattern": ADDRESS}


@extend_schema_field(_ADDRESS_SCHEMA)
class AddressField(serializers.RegexField):
    """An address in any case; checksummed in Python."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(ADDRESS, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return checksum(value.lower()) if isinstance(value, str) else value


class AddressConverter:
    """A path part that is an address in any case; checksummed in Python."""

    regex = "0x[0-9a-fA-F]{40}"

    def to_python(self, value: str) -> str:
        return checksum(value.lower())

    def to_url(self, value: str) -> str:
        return value


class AsksTheChain(ThrottledByMethod):
    """A public view that asks the node: held to a rate, because anyone can make it ask."""

    throttle_scopes = {"GET": "order", "POST": "order"}


class TransactionSerializer(serializers.Serializer[Any]):
    purpose = serializers.CharField(help_text="approve, buy, renew, cancel, settle, collect, split, ...")
    summary = serializers.CharField(help_text="What signing it does, for people.")
    chain_id = serializers.CharField()
    to = serializers.CharField()
    data = serializers.CharField()  # type: ignore[assignment]
    value = serializers.CharField(help_text="In wei.")


class TransactionsSerializer(serializers.Serializer[Any]):
    transactions = TransactionSerializer(many=True, help_text="To be signed and sent in this order.")


class FinalitySerializer(serializers.Serializer[Any]):
    """How far the block of an event can still change."""

    tier = serializers.ChoiceField([tier.value for tier in Tier])
    confirmations = serializers.IntegerField(help_text="Blocks from its own to the head; 0 where it is in none.")
    block_number = serializers.IntegerField(allow_null=True)
    text = serializers.CharField()


class SenderSerializer(serializers.Serializer[Any]):
    """With `sender`, the transactions are tried first, and a refusal is this call's answer."""

    sender = AddressField(required=False)


class ToSerializer(SenderSerializer):
    to = AddressField()


class TokenToSerializer(ToSerializer):
    token = AddressField()


class AccountsSerializer(SenderSerializer):
    key = AddressField()
    payee = AddressField()


SENDER = OpenApiParameter(
    "sender", _ADDRESS_SCHEMA, description="Who will sign: the transactions are tried at the newest block first."
)


def address_parameter(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, _ADDRESS_SCHEMA, required=True, description=description)


def query_of(request: Request, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The query's parameters, checked. Raises ValidationError."""
    checked = form(data=request.query_params)
    checked.is_valid(raise_exception=True)
    given: dict[str, Any] = checked.validated_data
    return given


def transactions_response(calls: Sequence[WalletCall]) -> Response:
    body = {"transactions": [call.json() for call in calls]}
    return Response(TransactionsSerializer(body).data, headers={"Cache-Control": "no-store"})
