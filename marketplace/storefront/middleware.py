"""Refusals as pages: what a layer below names, a person reads as a sentence and what to do."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from weighhouse.core.errors import WeighhouseError

from marketplace.api_errors import RETRY_AFTER_S, status_of

_TITLES = {
    HTTPStatus.FORBIDDEN: "This is not allowed",
    HTTPStatus.NOT_FOUND: "There is nothing at this address",
    HTTPStatus.CONFLICT: "This does not fit what is there",
    HTTPStatus.GONE: "This is no longer kept",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be accepted",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "This must wait",
}


class RefusalPages:
    """Renders every `WeighhouseError` of a page. API views answer theirs as problem details before it comes here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return refusal_response(request, exception) if isinstance(exception, WeighhouseError) else None


def refusal_response(request: HttpRequest, error: WeighhouseError) -> HttpResponse:
    """The refusal as a page, or as a fragment where htmx asked."""
    status = status_of(error.code, retryable=error.retryable)
    title = _TITLES.get(HTTPStatus(status), "This did not work")
    context = {"title": title, "message": error.message, "code": error.code, "retryable": error.retryable}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "storefront/parts/refused.html", context, status=status)
    response = render(request, "storefront/refused.html", context, status=status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_S)
    return response
