"""What the API's views share: keyset pages and on-chain integers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.urls import register_converter
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from chain.fields import UINT256_MAX
from models_registry.errors import CursorInvalidError


def client_of(request: Any) -> str:
    """The address that a request comes from, behind as many proxies as are trusted. Of a page's request too."""
    return str(BaseThrottle().get_ident(request) or "")


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

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """A page. Raises CursorInvalidError where `cursor` is none that this site gave out."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, OverflowError) as error:
            raise CursorInvalidError("The cursor is none that this site gave. Start from the first page.") from error

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            moment = datetime.fromisoformat(str(cursor.position))
            if moment.tzinfo is None:
                raise ValueError("a position has a zone")
            # Beyond the calendar's ends there is no such moment: OverflowError.
            moment.astimezone(UTC)
        return cursor

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


def on_chain_id(text: str) -> int | None:
    """The on-chain integer that a decimal text is, `None` where it is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > 78:
        return None
    number = int(text)
    return number if number <= UINT256_MAX else None


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
