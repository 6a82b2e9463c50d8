"""The demo wallet's way to the development node. Nothing of this exists unless `DEMO_WALLET` is set."""

from itertools import chain as flat
from typing import Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.http import require_POST
from weighhouse.core.errors import WeighhouseError

from chain.demo_wallet import demo_wallet_request
from chain.errors import DemoWalletRefused
from chain.gateway.errors import Reverted
from marketplace.storefront.throttle import throttled

MAX_BODY_BYTES = 64 * 1024
INTERNAL = -32603
REVERTED = 3
# A node's calls nest four deep. orjson reads 1,024, and the gateway's writing fails at fewer.
MAX_DEPTH = 32


@require_POST
@throttled("demo-wallet")
def demo_wallet(request: HttpRequest) -> JsonResponse:
    """Answer one `{"method", "params"}` with `{"result"}` or `{"error": {"code", "message", "data"}}` (EIP-1193)."""
    if not settings.DEMO_WALLET:
        raise Http404("There is no demo wallet on this site.")
    call = _call_parse(request)
    if call is None:
        return _error(-32600, "Expected a JSON object with a method and a list of params.", status=400)
    try:
        return JsonResponse({"result": demo_wallet_request(*call)})
    except DemoWalletRefused as error:
        return _error(error.rpc_code, error.message)
    except Reverted as error:
        # As a node answers: the page decodes it with its own ABI.
        return _error(REVERTED, error.message, "0x" + error.revert_data.hex())
    except WeighhouseError as error:
        return _error(INTERNAL, error.message)


def _call_parse(request: HttpRequest) -> tuple[str, list[object]] | None:
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY_BYTES:
        return None
    try:
        # Strict: no lone surrogates and no NaN.
        body = orjson.loads(request.body)
    except (orjson.JSONDecodeError, RequestDataTooBig):
        return None
    if not isinstance(body, dict) or not _is_forwardable(body):
        return None
    method, params = body.get("method"), body.get("params", [])
    if not isinstance(method, str) or not isinstance(params, list):
        return None
    return method, params


def _is_forwardable(body: Any) -> bool:
    """Whether it can be written again for the node: not nested deeply, and no number that is not of 64 bits."""
    level = [body]
    for _ in range(MAX_DEPTH):
        if any(isinstance(item, float) for item in level):
            return False
        level = list(flat.from_iterable(_members(item) for item in level))
        if not level:
            return True
    return False


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _error(code: int, message: str, data: object = None, *, status: int = 200) -> JsonResponse:
    # A refusal by the node is an answer, not a failure of this request.
    return JsonResponse({"error": {"code": code, "message": message, "data": data}}, status=status)
