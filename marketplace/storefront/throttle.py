"""Pages that cost something share the API's budgets: a form is not a way around a rate limit."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework.throttling import SimpleRateThrottle

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


class _PageThrottle(SimpleRateThrottle):
    """Counts under the same cache key as DRF's ScopedRateThrottle."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()

    def get_cache_key(self, request: HttpRequest, view: object) -> str:
        ident = request.user.pk if request.user.is_authenticated else self.get_ident(request)  # type: ignore[arg-type]
        return self.cache_format % {"scope": self.scope, "ident": ident}


def throttled(scope: str) -> Callable[[View[P]], View[P]]:
    """Hold the view's POST requests to the rate of a scope of `DEFAULT_THROTTLE_RATES`."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            throttle = _PageThrottle(scope)
            if request.method == "POST" and not throttle.allow_request(request, view):  # type: ignore[arg-type]
                return _too_many(request, throttle.wait())
            return view(request, *args, **kwargs)

        return wrapper

    return decorate


def _too_many(request: HttpRequest, wait: float | None) -> HttpResponse:
    seconds = max(int(wait or 1), 1)
    context = {
        "title": "Too many requests",
        "message": f"This was asked for too often. Wait {seconds} seconds and try again.",
        "code": "throttled",
    }
    response = render(request, "storefront/refused.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response
