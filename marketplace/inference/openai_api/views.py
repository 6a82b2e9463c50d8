"""The calls of `/v1/`. A view reads the body, runs the job, and writes the answer."""

from collections.abc import Callable, Sequence
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts.authentication import ApiKeyAuthentication, caller
from marketplace.api_parts import ThrottledByMethod
from marketplace.inference import selectors, streams
from marketplace.inference.models import Job
from marketplace.inference.openai_api import reading, running, writing
from marketplace.inference.openai_api.errors import error_response, rate_headers
from marketplace.inference.openai_api.names import model_name_read
from marketplace.inference.openai_api.reading import Call
from marketplace.licences.selectors import model_ids_runnable
from models_registry import selectors as registry
from models_registry.errors import ModelNotFoundError


class OpenAiView(ThrottledByMethod):
    """What the calls share: an API key, errors in the dialect, JSON whatever the client accepts."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (ApiKeyAuthentication,)
    required_scope = "run"
    throttle_scopes = {"POST": "job"}
    # The dialect has a description of its own, which is not this site's to repeat.
    schema = None

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        return error_response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        return JSONRenderer(), JSONRenderer.media_type


class ModelListView(OpenAiView):
    def get(self, request: Request) -> Response:
        """The models that the account may run by a licence that the index knows."""
        found = registry.model_get_many(_runnable(request))
        listed = [writing.model_body(model) for _, model in sorted(found.items()) if model.is_listed]
        return Response({"object": "list", "data": listed})


class ModelView(OpenAiView):
    def get(self, request: Request, name: str) -> Response:
        """One of those models."""
        model_id = model_name_read(name).model_id
        if model_id not in _runnable(request):
            raise ModelNotFoundError(f"This account holds no valid licence of {name[:80]!a}.")
        return Response(writing.model_body(registry.model_get(model_id)))


class EmbeddingsView(OpenAiView):
    def post(self, request: Request) -> HttpResponseBase:
        """One vector per text."""
        call = reading.embeddings_read(request.data)
        return _answer(request, call, lambda _job, result: writing.embeddings_body(call, result))


class CompletionsView(OpenAiView):
    def post(self, request: Request) -> HttpResponseBase:
        """Continue each prompt."""
        return _generate(request, reading.completion_read(request.data, key=_key(request)))


class ChatCompletionsView(OpenAiView):
    def post(self, request: Request) -> HttpResponseBase:
        """Answer a chat, by a model with a chat template."""
        return _generate(request, reading.chat_read(request.data, key=_key(request)))


class NothingHereView(OpenAiView):
    """Every other address below `/v1/`."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound("There is nothing at this address. docs/openai.md lists what this site serves of this API.")


def _generate(request: Request, call: Call) -> HttpResponseBase:
    if not call.is_stream:
        return _answer(request, call, lambda job, result: writing.generation_body(call, job, result))
    # A place first: who cannot be served owes nothing.
    slot = streams.slot_take(caller(request).pk)
    try:
        job = running.job_of_call(call, account=caller(request), idempotency_key=_key(request))
        headers = _headers(job)
        items = running.opened(running.job_follow(job, peer=streams.Peer(request.META)))
    except BaseException:
        slot.release()
        raise
    response = streams.event_stream(writing.generation_parts(call, job, items), slot)
    for name, value in headers.items():
        response[name] = value
    return response


def _answer(request: Request, call: Call, body: Callable[[Job, running.Result], dict[str, Any]]) -> Response:
    slot = streams.slot_take(caller(request).pk)
    try:
        job = running.job_of_call(call, account=caller(request), idempotency_key=_key(request))
        headers = _headers(job)
        result = running.job_result(job, peer=streams.Peer(request.META))
    finally:
        slot.release()
    return Response(body(job, result), headers={**headers, "Cache-Control": "no-store"})


def _headers(job: Job) -> dict[str, str]:
    """The job as the request's id, by which the native API knows it, and what is left of its licence's rate."""
    limit = selectors.rate_limit_of(job)
    return {"X-Request-Id": str(job.pk)} | (rate_headers(limit) if limit else {})


def _runnable(request: Request) -> set[int]:
    """The models that the caller may run: those of the account, or of the one licence that its key is bound to."""
    account = caller(request)
    key = account.acting_key
    return model_ids_runnable(account.address, licence_id=key.licence_id if key else None)


def _key(request: Request) -> str | None:
    return request.headers.get("Idempotency-Key")
