"""Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`. The codes are this site's own."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from rest_framework.response import Response
from weighhouse.core.errors import WeighhouseError

from marketplace.api_errors import problem_response, status_of
from marketplace.rate_limit import rate_limit_headers

# Clients of this API know these alone, and try 409 again by themselves.
_AS_BAD_REQUEST = frozenset({406, 409, 410, 411, 415, 422})
_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}
# What a code is about, where the request has one parameter for it.
_PARAMS = {"model.not_found": "model", "model.reorged": "model", "release.not_found": "model"}


class ParameterError(WeighhouseError):
    """A parameter of the request is missing, wrong, or asks for what this site does not do."""

    code = "request.invalid"

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message, param=param)


class JobNotInTimeError(WeighhouseError):
    """The job did not end while its caller waited. It was cancelled where that was possible."""

    code = "job.not_in_time"
    retryable = True


class JobTextDiffersError(WeighhouseError):
    """The text that was streamed is not that of the result."""

    code = "job.text_differs"


class JobFailedError(WeighhouseError):
    """A job that ended without a result, with the job's own code."""

    def __init__(self, error: dict[str, Any] | None) -> None:
        known = error or {}
        if known.get("parameter") == "max_new_tokens" and "max_length" in known:
            # In this dialect's words: there it has another name, and nothing is cut.
            message = (
                f"The prompt and max_tokens are together more than the {known['max_length']} tokens that the model has "
                "room for. Shorten the prompt, or lower max_tokens."
            )
            super().__init__(message, param="max_tokens")
        else:
            super().__init__(str(known.get("message", "The job did not succeed. No call was counted.")))
        self.code = str(known.get("code", "runner.failed"))  # type: ignore[misc]
        self.retryable = bool(known.get("retryable"))  # type: ignore[misc]


def error_body(*, code: str, message: str, status: int, param: str | None = None) -> dict[str, Any]:
    """The body of an error, also of one in the midst of a stream."""
    kind = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    param = param or _PARAMS.get(code)
    return {"error": {"message": message, "type": _TYPES.get(HTTPStatus(status), kind), "param": param, "code": code}}


def error_body_of(error: WeighhouseError) -> dict[str, Any]:
    """The body of an error that comes after the headers were sent."""
    status = _status(status_of(error.code, retryable=error.retryable))
    param = error.data.get("param") or error.data.get("parameter")
    return error_body(code=error.code, message=error.message, status=status, param=param)


def rate_headers(limit: Mapping[str, Any]) -> dict[str, str]:
    """What is left of a licence's rate, also under this dialect's names: what it calls requests are calls here."""
    return {
        **rate_limit_headers(limit),
        "x-ratelimit-limit-requests": str(limit["quota"]),
        "x-ratelimit-remaining-requests": str(limit["left"]),
        "x-ratelimit-reset-requests": f"{math.ceil(limit['full_in_s'])}s",
    }


def error_response(error: Exception, context: dict[str, Any]) -> Response:
    """The exception handler of these views: the problem that the native API would answer, in the other form."""
    answer = problem_response(error, context)
    found = answer.data
    status = _status(answer.status_code)
    param = found.get("param") or found.get("parameter")
    body = error_body(code=found["code"], message=found["detail"], status=status, param=param)
    kept = ("Cache-Control", "Retry-After", "WWW-Authenticate", "Allow")
    headers = {name: answer[name] for name in kept if name in answer}
    if "rate_limit" in found:
        headers |= rate_headers(found["rate_limit"])
    if not found["retryable"] and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # The client would send what fails again at once, twice.
        headers["x-should-retry"] = "false"
    return Response(body, status=status, headers=headers)


def _status(status: int) -> int:
    return HTTPStatus.BAD_REQUEST if status in _AS_BAD_REQUEST else status
