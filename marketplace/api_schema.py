"""What the OpenAPI document says about every operation: who may call it, and how it fails."""

from functools import cache
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "marketplace.accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key, `wh_...`, made under API keys."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "marketplace.accounts.authentication.CsrfSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "The browser's session. Unsafe methods send the header `X-CSRFToken` too.",
        }


class SchemaOnce(SchemaGenerator):
    """The public document is the same for everybody and slow to make: each process makes it once."""

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        return _public_document() if public else super().get_schema(request=request, public=public)


@cache
def _public_document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


PROBLEM_SCHEMA = {
    "type": "object",
    "description": "RFC 9457 problem details. Further members depend on the code.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people: what is wrong and what to do."},
        "code": {"type": "string", "description": "Stable; documented in docs/errors.md."},
        "retryable": {"type": "boolean", "description": "Whether the same call may succeed later, unchanged."},
    },
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "additionalProperties": True,
}


def problems_document(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular: every operation may answer with a problem."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    answer = {
        "description": "A problem.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault("default", answer)
    return result
