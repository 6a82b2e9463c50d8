"""What the API's views share: keyset pages and on-chain integers."""

from collections.abc import Mapping
from typing import Any

from django.urls import register_converter
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.response import Response
from rest_framework.views import APIView

from chain.fields import UINT256_MAX


class ThrottledByMethod(APIView):
    """A view of several methods of which only some are costly. `throttle_scopes` names the rate of each of those."""

    throttle_scopes: Mapping[str, str] = {}

    def get_throttles(self) -> list[Any]:
        scope = self.throttle_scopes.get(self.request.method or "")
        if scope is None:
            return []
        vars(self)["throttle_scope"] = scope  # where ScopedRateThrottle looks for it
        return super().get_throttles()


class KeysetPagination(CursorPagination):
    """Newest first. `results` in the body, `next` and `prev` in the `Link` header too (RFC 8288)."""

    page_size = 20
    max_page_size = 100
    page_size_query_param = "limit"
    ordering = ("-created_at", "-id")

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        links = {"next": self.get_next_link(), "prev": self.get_previous_link()}
        header = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items() if url)
        if header:
            response["Link"] = header
        return response


@extend_schema_field({"type": "string", "pattern": "^[0-9]{1,78}$", "example": "4294967297"})
class Uint256StringField(serializers.Field):
    """An on-chain integer: a decimal string in JSON, because it may exceed 2^53; `int` in Python."""

    default_error_messages = {"invalid": "Expected a whole number from 0 to 2^256 - 1 as a decimal string."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, int) and not isinstance(data, bool):
            data = str(data)
        if not isinstance(data, str) or not data.isascii() or not data.isdecimal() or len(data) > 78:
            self.fail("invalid")
        number = int(data)
        if number > UINT256_MAX:
            self.fail("invalid")
        return number

    def to_representation(self, value: int) -> str:
        return str(value)


class OnChainIdConverter:
    """A path part that is an on-chain id: decimal, without leading zeros, at most 2^256 - 1."""

    regex = r"0|[1-9][0-9]{0,77}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > UINT256_MAX:
            raise ValueError(value)
        return number

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(OnChainIdConverter, "on_chain_id")
