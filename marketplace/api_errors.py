"""The one map from error code to HTTP status, and RFC 9457 problem details for everything that goes wrong.

Layers below know no HTTP; they raise `WeighhouseError`. What nobody named becomes a plain 500 that says nothing of the
server, and the log says the rest.
"""

import logging
import math
from http import HTTPStatus
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, UnreadablePostError
from redis.exceptions import RedisError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback
from weighhouse.core.errors import WeighhouseError

from marketplace.rate_limit import rate_limit_headers

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "https://weighhouse.example/problems/"
PROBLEM_CONTENT_TYPE = "application/problem+json"
# Seconds after which a retryable call may be tried again where the error itself does not say.
RETRY_AFTER_S = 5
# So many errors of one request are told; more help nobody.
MOST_ERRORS = 50

STATUS: dict[str, int] = {
    "internal": 500,
    # Requests as such.
    "request.invalid": 400,
    "request.malformed": 400,
    "request.refused": 400,
    "request.too_large": 413,
    "request.interrupted": 400,
    "request.media_type": 415,
    "request.not_acceptable": 406,
    "request.method": 405,
    "request.not_found": 404,
    "request.throttled": 429,
    "auth.required": 401,
    "auth.failed": 401,
    "auth.denied": 403,
    "auth.csrf": 403,
    "site.busy": 503,
    "cursor.invalid": 400,
    # Accounts.
    "account.closed": 403,
    "sign_in.nonce_unknown": 400,
    "siwe.malformed": 400,
    "siwe.domain_mismatch": 400,
    "siwe.chain_mismatch": 400,
    "siwe.nonce_mismatch": 400,
    "siwe.expired": 400,
    "siwe.signature_invalid": 400,
    "key.invalid": 401,
    "key.revoked": 401,
    "key.expired": 401,
    "key.scope_missing": 403,
    "key.not_found": 404,
    "key.limit": 409,
    "key.other_licence": 403,
    "key.calls_exhausted": 403,
    # Licences, orders, jobs.
    "plan.not_found": 404,
    "plan.reorged": 404,
    "plan.retired": 409,
    "licence.not_found": 404,
    "licence.reorged": 404,
    "delivery.none": 409,
    "delivery.not_final": 409,
    "licence.none": 403,
    "licence.expired": 403,
    "licence.cancelled": 403,
    "licence.suspended": 403,
    "licence.foreign": 403,
    "licence.wrong_model": 403,
    "licence.no_run_right": 403,
    "licence.calls_exhausted": 403,
    "licence.purchase_unknown": 503,
    "licence.foreign_operator": 403,
    "licence.usage_unreported": 503,
    "licence.rate_exceeded": 429,
    "trial.unavailable": 403,
    "trial.exhausted": 429,
    "operator.not_found": 404,
    "payment.balance_too_low": 409,
    "transaction.nothing_to_do": 409,
    "order.not_found": 404,
    "order.conflict": 409,
    "order.too_many_open": 429,
    "job.not_found": 404,
    "job.not_open": 409,
    "job.not_finished": 409,
    "job.payload_deleted": 410,
    "job.idempotency_conflict": 422,
    "job.idempotency_key_invalid": 400,
    "job.worker_lost": 503,
    "job.expired": 503,
    "job.too_many_open": 429,
    "job.too_many_streams": 429,
    "job.not_in_time": 504,
    "job.text_differs": 502,
    "job.queue_full": 429,
    "job.cancel_limit": 429,
    "job.cancelled": 409,
    "job.not_reserved": 500,
    "job.task_unsupported": 422,
    "batch.not_found": 404,
    "batch.invalid": 422,
    "batch.too_valuable": 422,
    "batch.not_open": 409,
    "batch.too_many_open": 429,
    "input_upload.not_found": 404,
    "input_upload.kind_unknown": 415,
    "input_upload.quota": 409,
    "input_upload.in_use": 409,
    # Webhooks.
    "webhook.not_found": 404,
    "webhook.event_not_found": 404,
    "webhook.limit": 409,
    "webhook.disabled": 409,
    "webhook.secret_lost": 409,
    "receipt.unavailable": 404,
    # Uploads, releases, models.
    "upload.not_found": 404,
    "upload.file_not_found": 404,
    "upload.invalid": 422,
    "upload.too_large": 413,
    "upload.storage_full": 507,
    "upload.truncated": 400,
    "upload.length_required": 411,
    "upload.checksum_mismatch": 409,
    "upload.refused": 422,
    "release.not_found": 404,
    "release.cid_mismatch": 409,
    "release.empty": 422,
    "release.too_large": 422,
    "release.too_many_checks": 429,
    "model.not_found": 404,
    "model.reorged": 404,
    "manifest.invalid": 422,
    "json.invalid": 422,
    "path.invalid": 422,
    "cid.invalid": 422,
    "statement.invalid": 422,
    "signature.invalid": 422,
    "commitment.invalid": 422,
    "merkle.invalid": 422,
    "unixfs.invalid": 422,
    "safetensors.invalid": 422,
    "car.invalid": 422,
    "car.truncated": 502,
    "store.unavailable": 503,
    "store.block_missing": 503,
    "store.block_corrupt": 502,
    "store.root_mismatch": 502,
    # The runtime.
    "input.invalid": 422,
    "sandbox.unavailable": 503,
    "model.unloadable": 422,
    "runner.failed": 500,
    "runner.deadline": 504,
    "runner.crashed": 503,
    "runner.out_of_memory": 500,
    "runner.protocol": 502,
    "runner.busy": 503,
    "runner.cancelled": 409,
    "output.invalid": 502,
    # The chain.
    "chain.error": 502,
    "chain.range_too_large": 503,
    "chain.rate_limited": 503,
    "chain.node_behind": 503,
    "chain.node_unavailable": 503,
    "chain.wrong_chain": 503,
    "chain.reverted": 409,
    "chain.rpc_error": 502,
    "chain.nonce_too_low": 409,
    "chain.nonce_too_high": 503,
    "chain.transaction_underpriced": 409,
    "chain.already_known": 409,
    "chain.insufficient_funds": 409,
    "chain.address_book_missing": 503,
    "chain.address_book_invalid": 503,
    "chain.contracts_differ": 503,
    "chain.unknown_contract": 500,
    "chain.encoding": 422,
    "chain.transaction_timeout": 503,
    "chain.transaction_failed": 409,
    "chain.lease_lost": 503,
    "chain.handler_failed": 503,
    "chain.finality_violated": 503,
    "chain.audit_impossible": 503,
    "chain.rebuild_overtaken": 503,
    "outbox.dedupe_conflict": 409,
    "outbox.not_found": 404,
    "outbox.not_open": 409,
    "outbox.moved": 409,
    "outbox.fees_unsupported": 502,
    "outbox.held": 503,
    "outbox.spend_cap_reached": 503,
    "outbox.low_balance": 503,
    "outbox.fee_cap_reached": 503,
    "outbox.nonce_taken": 409,
    "outbox.signer_changed": 409,
    "signing.no_signer": 503,
    "signing.unavailable": 503,
    "signing.refused": 502,
    "signing.differs": 502,
    "chain.development_only": 403,
    "chain.demo_wallet_refused": 403,
    "typed_data.invalid": 422,
    # Calls to addresses that somebody else named.
    "outgoing.error": 502,
    "outgoing.url_invalid": 422,
    "outgoing.address_refused": 422,
    "outgoing.unreachable": 502,
    "outgoing.timeout": 504,
    # Of commands and start-up; no request meets them.
    "faults.invalid_plan": 500,
    "worker_key.refused": 409,
    "recheck.impossible": 409,
}

# Django REST framework's own errors, the most derived first.
_FRAMEWORK: tuple[tuple[type[exceptions.APIException], str], ...] = (
    (exceptions.ParseError, "request.malformed"),
    (exceptions.NotAuthenticated, "auth.required"),
    (exceptions.AuthenticationFailed, "auth.failed"),
    (exceptions.NotFound, "request.not_found"),
    (exceptions.MethodNotAllowed, "request.method"),
    (exceptions.NotAcceptable, "request.not_acceptable"),
    (exceptions.UnsupportedMediaType, "request.media_type"),
)

_OTHER: tuple[tuple[type[Exception], str, str], ...] = (
    (Http404, "request.not_found", "There is nothing at this address."),
    (RequestDataTooBig, "request.too_large", "The request is larger than this call accepts."),
    (SuspiciousOperation, "request.refused", "The request is not one that this site accepts."),
    (UnreadablePostError, "request.interrupted", "The request ended before it was complete. Send it again."),
)


def status_of(code: str, *, retryable: bool = False) -> int:
    """The HTTP status of an error code. A code without an entry fails the tests, and is a server's error here.

    Every custom error of a contract has a code below `chain.reverted` and the status of that one.
    """
    family = "chain.reverted" if code.startswith("chain.reverted.") else code
    return STATUS.get(family, 503 if retryable else 500)


def problem(code: str, detail: str, *, retryable: bool = False, data: dict[str, Any] | None = None) -> Response:
    """A problem details response. `data` becomes extension members and cannot replace the standard ones."""
    status = status_of(code, retryable=retryable)
    data = data or {}
    body = {
        **data,
        "type": PROBLEM_TYPE + code,
        "title": code.replace(".", ": ").replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    }
    headers = {"Cache-Control": "no-store"}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(
            max(1, math.ceil(data.get("retry_after", data.get("retry_after_s", RETRY_AFTER_S))))
        )
    if "rate_limit" in data:
        headers |= rate_limit_headers(data["rate_limit"])
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="weighhouse"'
    return Response(body, status=status, headers=headers, content_type=PROBLEM_CONTENT_TYPE)


def problem_response(error: Exception, context: dict[str, Any]) -> Response:
    """The exception handler of every API view: an answer for anything, and nothing half-written."""
    set_rollback()
    if isinstance(error, WeighhouseError):
        response = problem(error.code, error.message, retryable=error.retryable, data=error.data)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("%s: %s", error.code, error.message)
        return response
    if isinstance(error, exceptions.APIException):
        return _framework_problem(error)
    return _other_problem(error, context)


def _framework_problem(error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        errors = list(islice(_flatten(error.detail, ""), MOST_ERRORS))
        detail = "; ".join(
            f"{entry['field']}: {entry['message']}" if entry["field"] else entry["message"] for entry in errors
        )
        return problem("request.invalid", detail, data={"errors": errors})
    if isinstance(error, exceptions.Throttled):
        wait = math.ceil(getattr(error, "wait", None) or RETRY_AFTER_S)
        detail = f"Too many requests of this kind. Try again in {wait} s."
        return problem("request.throttled", detail, retryable=True, data={"retry_after": wait})
    if isinstance(error, exceptions.PermissionDenied):
        return _denied(str(error.detail))
    code = next((name for kind, name in _FRAMEWORK if isinstance(error, kind)), "internal")
    response = problem(code, str(error.detail))
    if code == "internal":
        # An APIException of another kind knows its status better than the map does.
        response.status_code = response.data["status"] = error.status_code
    return response


def _denied(detail: str) -> Response:
    if detail.startswith("CSRF"):
        message = "The CSRF token is missing or wrong. Reload the page and send the header `X-CSRFToken`."
        return problem("auth.csrf", message, data={"reason": detail})
    return problem("auth.denied", detail)


def _other_problem(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, PermissionDenied):
        return _denied(str(error) or "This account may not do that.")
    for kind, code, detail in _OTHER:
        if isinstance(error, kind):
            return problem(code, detail)
    if isinstance(error, RedisError | OperationalError):
        logger.error("%s while serving %s: %s", type(error).__name__, _route(context), error)
        return problem("site.busy", "The site cannot take this request at the moment. Try again.", retryable=True)
    logger.error("Unexpected error while serving %s", _route(context), exc_info=error)
    return problem("internal", "The site failed at this request. The operator's log has the reason.")


def _route(context: dict[str, Any]) -> str:
    view = context.get("view")
    return type(view).__name__ if view is not None else "a request"


def _flatten(detail: Any, path: str) -> Any:
    """DRF's nested lists and dicts of messages as `{"field": "a.0.b", "message": ...}`."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            label = "" if name == "non_field_errors" else str(name)
            yield from _flatten(inner, f"{path}.{label}" if path and label else path or label)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _flatten(inner, f"{path}.{index}" if nested and inner else path)
    else:
        yield {"field": path, "message": str(detail)}
