"""The parser of the API's JSON bodies. Imported while REST framework itself is: it must need no view."""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

# What follows the parser walks the value by recursion; no request of ours needs more than a few levels.
MAX_DEPTH = 64


class StrictJsonParser(BaseParser):
    """JSON as RFC 8259 has it, capped in size: no NaN, no lone surrogates, no nesting that could exhaust the stack."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read(settings.API_MAX_BODY_BYTES + 1)
        if len(body) > settings.API_MAX_BODY_BYTES:
            raise RequestDataTooBig
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error}.") from error
        if _is_deep(value):
            raise ParseError(f"The body is nested deeper than {MAX_DEPTH} levels.")
        return value


def _is_deep(value: Any) -> bool:
    """Whether arrays and objects lie deeper in each other than `MAX_DEPTH`. Goes level by level, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
