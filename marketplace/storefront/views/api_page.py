"""A page about the API for people: every operation, from the same schema that programs read."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

_METHODS = ("get", "post", "put", "patch", "delete")


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    return render(request, "storefront/api.html", {"operations": _operations(), "site_url": settings.SITE_URL})


@cache
def _operations() -> list[dict[str, Any]]:
    """`{method, path, summary, text}` in the order of the paths. The schema does not change while the site runs."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return [
        {
            "method": method.upper(),
            "path": path,
            "summary": item.get("summary", ""),
            "text": item.get("description", ""),
        }
        for path, item_by_method in schema["paths"].items()
        for method, item in item_by_method.items()
        if method in _METHODS
    ]
