"""Refusals as pages: what a layer below names, a person reads as a sentence and what to do."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from redis.exceptions import RedisError
from weighhouse.core.errors import WeighhouseError

from marketplace.api_errors import PROBLEM_CONTENT_TYPE, RETRY_AFTER_S, problem, status_of

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

_TITLES = {
    HTTPStatus.FORBIDDEN: "This is not allowed",
    HTTPStatus.NOT_FOUND: "There is nothing at this address",
    HTTPStatus.CONFLICT: "This does not fit what is there",
    HTTPStatus.GONE: "This is no longer kept",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be accepted",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "This must wait",
}

# What returns by itself is not simply missing.
_TITLES_OF_CODES = dict.fromkeys(
    ("licence.reorged", "plan.reorged", "model.reorged"), "Removed by a re-organisation of the chain"
)

# Reading a form means keeping its files on disk until the view has looked at them, and the CSRF check reads the form.
FORM_MAX_BYTES = 512 * 1024 * 1024
FORM_WITHOUT_FILES_MAX_BYTES = 64 * 1024


class FormLimit:
    """Refuses a form by its announced length before anything reads it. Stands before the CSRF check."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Only the body of a POST is parsed as a form; the API streams the files of its PUT and counts them.
        is_form = request.method == "POST" and request.META.get("CONTENT_TYPE", "").lower().startswith("multipart/")
        if is_form and _length(request) > _limit(request):
            return _too_large(request)
        if is_form and _is_run(request):
            request.upload_handlers = [_InMemory(request)]
        return self.get_response(request)


class _InMemory(MemoryFileUploadHandler):
    """Keeps a file in memory whatever its size: a job's input is never written to disk in the clear."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


def _limit(request: HttpRequest) -> int:
    """Files come with two forms alone, to publish and to run, and from people who are signed in."""
    limit = FORM_WITHOUT_FILES_MAX_BYTES
    if SESSION_KEY in request.session:
        if request.path_info == reverse("publish"):
            limit = FORM_MAX_BYTES
        elif _is_run(request):
            limit = settings.API_MAX_BODY_BYTES
    return min(limit, settings.UPLOAD_MAX_TOTAL_BYTES)


def _is_run(request: HttpRequest) -> bool:
    """Whether this is the form of a job, sent to run it or to ask what it costs."""
    try:
        return resolve(request.path_info).url_name in {"run", "run-quote"}
    except Resolver404:
        return False


def _length(request: HttpRequest) -> int:
    """The announced length as Django reads it, which reads no further than that and nothing where there is none."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _too_large(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        refusal = problem("request.too_large", "This form is larger than any call accepts. The API takes JSON.")
        return JsonResponse(refusal.data, status=refusal.status_code, content_type=PROBLEM_CONTENT_TYPE)
    # No page is rendered: its own form token would make Django read the body.
    text = "This form is larger than the site accepts. Sign in and send the files one by one, or use the API."
    return HttpResponse(text, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content_type="text/plain")


class RefusalPages:
    """Renders every `WeighhouseError` of a page. API views answer theirs as problem details before it comes here."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, WeighhouseError):
            code = exception.code
            return refusal_response(request, code, exception.message, is_retryable=exception.retryable)
        if isinstance(exception, RedisError | OperationalError):
            logger.error("%s while serving %s: %s", type(exception).__name__, request.path, exception)
            text = "The site cannot take this request at the moment. Nothing was recorded; try again."
            return refusal_response(request, "site.busy", text, is_retryable=True)
        return None


def refusal_response(request: HttpRequest, code: str, message: str, *, is_retryable: bool) -> HttpResponse:
    """The refusal as a page, or as a fragment where htmx asked."""
    status = HTTPStatus(status_of(code, retryable=is_retryable))
    title = _TITLES_OF_CODES.get(code) or _TITLES.get(status, "This did not work")
    context = {"title": title, "message": message, "code": code, "retryable": is_retryable}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "storefront/parts/refused.html", context, status=status)
    response = render(request, "storefront/refused.html", context, status=status)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_S)
    return response
