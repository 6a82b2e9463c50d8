"""One node: a batch of JSON-RPC calls in, a result or a named error for each out.

The addresses of nodes often contain a key: they appear in no log line, no error and no `repr`; an endpoint is named by
its place in the settings.
"""

import itertools
import os
import threading
from collections.abc import Sequence
from typing import Any

import orjson
import requests
from urllib3.exceptions import HTTPError

from chain.gateway.classify import RETRY_AFTER_MAX_S, error_name, retry_after
from chain.gateway.errors import ChainError, NodeUnavailable, RangeTooLarge, RateLimited, WrongChain
from chain.gateway.parse import number_parse
from chain.gateway.transport import session_make

Call = tuple[str, Sequence[Any]]

# Decoded bytes: a small compressed answer may grow to any size.
RESPONSE_MAX_BYTES = 64 * 1024 * 1024


class Endpoint:
    """One node. Safe to share between threads and across forks: each has a session of its own."""

    def __init__(self, url: str, *, name: str, timeout_s: float) -> None:
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._ids = itertools.count(1)
        self._checked = False

    def chain_check(self, expected: int) -> None:
        """Ask for the chain id once, and again after every failure of the connection. Raises `WrongChain`."""
        if not self._checked:
            answer = value(self.post([("eth_chainId", [])])[0])
            chain_id_check(number_parse(answer), expected=expected)
            self._checked = True

    def chain_forget(self) -> None:
        """Let the chain id be asked for again before the next call."""
        self._checked = False

    def post(self, calls: Sequence[Call]) -> list[Any]:
        """The result or the named error of each call, in order. Raises what no call could be answered for."""
        first = next(self._ids)
        ids = [first, *(next(self._ids) for _ in calls[1:])]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        methods = [method for method, _ in calls]
        try:
            content = self._exchange(orjson.dumps(body[0] if len(body) == 1 else body), methods)
            by_id = self._by_id(content if isinstance(content, list) else [content], methods)
        except NodeUnavailable:
            self.chain_forget()
            raise
        return [self._result(by_id.get(number), method) for number, method in zip(ids, methods, strict=True)]

    def _by_id(self, answers: list[Any], methods: list[str]) -> dict[int, dict[str, Any]]:
        """The answers by their ids, which JSON-RPC lets come in any order. A second one with the same id is refused."""
        if len(answers) == 1 and _refused_as_a_whole(answers[0]):
            raise error_name(answers[0]["error"], method="eth_getLogs" if "eth_getLogs" in methods else methods[0])
        by_id: dict[int, dict[str, Any]] = {}
        for answer in answers:
            number = answer.get("id") if isinstance(answer, dict) else None
            if not isinstance(number, int) or isinstance(number, bool):
                # Nobody asked under such an id; the call that this was meant for is missing then.
                continue
            if number in by_id:
                raise NodeUnavailable(f"The node at {self._name} answered twice to one call.")
            by_id[number] = answer
        return by_id

    def _result(self, answer: dict[str, Any] | None, method: str) -> Any:
        if answer is None or ("result" not in answer and "error" not in answer):
            return NodeUnavailable(f"The node at {self._name} left out an answer to {method}.")
        if answer.get("error") is not None:
            return error_name(answer["error"], method=method)
        return answer.get("result")

    def _exchange(self, body: bytes, methods: list[str]) -> Any:
        try:
            with self._session().post(
                self._url, data=body, timeout=self._timeout_s, stream=True, allow_redirects=False
            ) as response:
                content = _read(response)
                status, wait = response.status_code, response.headers.get("Retry-After", "")
        except (requests.RequestException, HTTPError, OSError) as error:
            # The text of these errors holds the URL, so only the type is told.
            raise NodeUnavailable(f"The node at {self._name} does not answer ({type(error).__name__}).") from None
        if content is None:
            raise _too_large(methods, f"The node at {self._name} answered more than {RESPONSE_MAX_BYTES} bytes.")
        return self._parsed(content, status, wait, methods=methods)

    def _parsed(self, content: bytes, status: int, wait: str, *, methods: list[str]) -> Any:
        if status == 429:
            seconds = float(wait) if wait.isdecimal() else retry_after(content[:1000].decode("utf-8", "replace"))
            seconds = min(max(seconds, 1.0), RETRY_AFTER_MAX_S)
            raise RateLimited(f"The node at {self._name} limits requests.", retry_after=seconds)
        if status == 413:
            raise _too_large(methods, f"The node at {self._name} finds the request or its answer too large.")
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise NodeUnavailable(f"The node at {self._name} answered status {status} and no JSON.") from None
        if not isinstance(parsed, dict | list) or (status >= 400 and "error" not in _members(parsed)):
            raise NodeUnavailable(f"The node at {self._name} answered status {status}.")
        return parsed

    def _session(self) -> requests.Session:
        mine: tuple[int, requests.Session] | None = getattr(self._local, "session", None)
        if mine is None or mine[0] != os.getpid():
            mine = (os.getpid(), session_make())
            self._local.session = mine
        return mine[1]


def value(answer: Any) -> Any:
    """The result of a call. Raises the named error that stands in its place."""
    if isinstance(answer, ChainError):
        raise answer
    return answer


def chain_id_check(actual: int, *, expected: int) -> None:
    """Raises `WrongChain`."""
    if actual != expected:
        message = (
            f"The node serves chain {actual}, the settings name chain {expected}. Correct WEIGHHOUSE_RPC_URL or"
            " _CHAIN_ID."
        )
        raise WrongChain(message, expected=expected, actual=actual)


def _read(response: requests.Response) -> bytes | None:
    """The body, decompressed piece by piece; `None` where it is too large."""
    content = bytearray()
    for chunk in response.raw.stream(65536, decode_content=True):
        content += chunk
        if len(content) > RESPONSE_MAX_BYTES:
            return None
    return bytes(content)


def _refused_as_a_whole(answer: Any) -> bool:
    """Whether this is one error for the request as such, as rate limiters in front of a node write it."""
    return isinstance(answer, dict) and answer.get("id") is None and "error" in answer


def _members(parsed: Any) -> set[str]:
    """The members of an answer, or of all answers of a batch."""
    return set().union(*(item for item in (parsed if isinstance(parsed, list) else [parsed]) if isinstance(item, dict)))


def _too_large(methods: list[str], message: str) -> RangeTooLarge | NodeUnavailable:
    return RangeTooLarge(message) if "eth_getLogs" in methods else NodeUnavailable(message)
