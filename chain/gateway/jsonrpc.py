"""Raw JSON-RPC over HTTP.

web3.py's objects cost thirteen times as much per log, so that the hot paths parse the answers here. The addresses of
nodes often contain a key: they appear in no log line, no error and no `repr`; an endpoint is named by its place in the
settings.
"""

import itertools
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from chain.gateway.classify import error_name, retry_after
from chain.gateway.errors import NodeBehind, NodeUnavailable, RangeTooLarge, RateLimited, Reverted, RpcError, WrongChain
from chain.gateway.parse import (
    bytes_parse,
    header_parse,
    logs_parse,
    number_parse,
    receipt_parse,
)
from chain.gateway.protocol import Header, Heads, RawLog, Receipt, Topics

# urllib3 writes the path of each request at DEBUG, and the path is where vendors put the key.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

Call = tuple[str, Sequence[Any]]

BATCH_SIZE = 40
RESPONSE_MAX_BYTES = 64 * 1024 * 1024
# The whole answer may take this many times the timeout of one read.
RESPONSE_TIME_FACTOR = 3
# Where a chain knows no `finalized` tag, this many blocks stand in for it.
FINALITY_BLOCKS = 64


class JsonRpcGateway:
    """`ChainGateway` over one or more HTTP endpoints of the same chain.

    Endpoints are tried in the order of the settings, from the last one that worked; the next one is tried where one
    does not answer, limits the rate or lacks the block. A batch goes to one endpoint as a whole.
    """

    def __init__(self, urls: Sequence[str], *, chain_id: int, timeout_s: float = 10.0) -> None:
        if not urls:
            raise ValueError("A gateway needs at least one endpoint.")
        self.chain_id = chain_id
        self._endpoints = [_Endpoint(url, name=f"endpoint {n}", timeout_s=timeout_s) for n, url in enumerate(urls, 1)]
        self._preferred = 0

    def __repr__(self) -> str:
        return f"<JsonRpcGateway chain {self.chain_id}, {len(self._endpoints)} endpoints>"

    def heads(self) -> Heads:
        calls: list[Call] = [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["latest", False]),
            ("eth_getBlockByNumber", ["finalized", False]),
        ]
        chain_id, latest, finalized = self._batch(calls, tolerate={2})
        self._chain_check(number_parse(chain_id))
        head = header_parse(latest)
        if isinstance(finalized, Exception) and not isinstance(finalized, RpcError | NodeBehind):
            # Only a node that knows no such tag may be second-guessed, not one that failed this once.
            raise finalized
        if finalized is None or isinstance(finalized, Exception):
            return Heads(head, max(head.number - FINALITY_BLOCKS, 0))
        return Heads(head, min(header_parse(finalized).number, head.number))

    def header_at(self, block_hash: str | None) -> Header:
        if block_hash is None:
            return header_parse(self.request("eth_getBlockByNumber", ["latest", False]))
        answer = self.request("eth_getBlockByHash", [block_hash, False])
        if answer is None:
            raise NodeBehind(f"The node does not have block {block_hash}.")
        return header_parse(answer)

    def headers(self, numbers: Sequence[int]) -> list[Header | None]:
        calls: list[Call] = [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
        answers = self._batch(calls, tolerate=set(range(len(calls))))
        for answer in answers:
            # Some nodes answer an error instead of null for a height that they do not have.
            if isinstance(answer, Exception) and not isinstance(answer, NodeBehind):
                raise answer
        return [
            None if answer is None or isinstance(answer, NodeBehind) else header_parse(answer) for answer in answers
        ]

    def logs_in_range(self, addresses: Sequence[str], *, first: int, last: int, topics: Topics = ()) -> list[RawLog]:
        # A node that lags answers a range beyond its head with fewer logs and no error. The same node is asked for the
        # last block in the same batch.
        criteria: dict[str, Any] = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
        if topics:
            criteria["topics"] = list(topics)
        calls: list[Call] = [("eth_getLogs", [criteria]), ("eth_getBlockByNumber", [hex(last), False])]
        found, block = self._batch(calls)
        if block is None:
            raise NodeBehind(f"The node does not have block {last} yet.")
        return sorted(logs_parse(found, addresses), key=lambda log: (log.block_number, log.log_index))

    def logs_by_hash(self, addresses: Sequence[str], *, block_hashes: Sequence[str]) -> list[list[RawLog]]:
        # The block is asked for beside its logs: some nodes answer an unknown hash with an empty list.
        calls: list[Call] = []
        for block_hash in block_hashes:
            calls.append(("eth_getLogs", [{"address": list(addresses), "blockHash": block_hash}]))
            calls.append(("eth_getBlockByHash", [block_hash, False]))
        answers = self._batch(calls)
        result = []
        for block_hash, found, block in zip(block_hashes, answers[::2], answers[1::2], strict=True):
            if block is None:
                raise NodeBehind(f"The node does not have block {block_hash}.")
            logs = logs_parse(found, addresses)
            if any(log.block_hash != block_hash for log in logs):
                raise NodeUnavailable(f"The node answered logs of another block than {block_hash}.")
            result.append(sorted(logs, key=lambda log: log.log_index))
        return result

    def call(self, to: str, data: str, *, block_hash: str | None = None, sender: str | None = None) -> bytes:
        transaction = {"to": to, "data": data} | ({"from": sender} if sender else {})
        return bytes_parse(self.request(*_call(transaction, block_hash)))

    def call_many(self, calls: Sequence[tuple[str, str]], block_hash: str | None = None) -> list[bytes | Reverted]:
        asked = [_call({"to": to, "data": data}, block_hash) for to, data in calls]
        answers = self._batch(asked, reverts=True)
        return [answer if isinstance(answer, Reverted) else bytes_parse(answer) for answer in answers]

    def code(self, address: str) -> bytes:
        return bytes_parse(self.request("eth_getCode", [address, "latest"]))

    def receipt(self, tx_hash: str) -> Receipt | None:
        answer = self.request("eth_getTransactionReceipt", [tx_hash])
        return None if answer is None else receipt_parse(answer)

    def request(self, method: str, params: Sequence[Any]) -> Any:
        return self._batch([(method, params)])[0]

    def _batch(self, calls: Sequence[Call], *, tolerate: set[int] | None = None, reverts: bool = False) -> list[Any]:
        """The results of `calls`, in order.

        An error of a call whose index is in `tolerate` stands in its place, with `reverts` also a contract's refusal.
        """
        results: list[Any] = []
        for start in range(0, len(calls), BATCH_SIZE):
            part = calls[start : start + BATCH_SIZE]
            allowed = {index - start for index in tolerate or ()}
            results.extend(self._somewhere(part, allowed, reverts=reverts))
        return results

    def _somewhere(self, calls: Sequence[Call], tolerate: set[int], *, reverts: bool) -> list[Any]:
        failure: NodeUnavailable | RateLimited | NodeBehind | None = None
        for step in range(len(self._endpoints)):
            place = (self._preferred + step) % len(self._endpoints)
            endpoint = self._endpoints[place]
            try:
                endpoint.chain_check(self.chain_id)
                answers = endpoint.post(calls)
                for index, answer in enumerate(answers):
                    stands = index in tolerate or (reverts and isinstance(answer, Reverted))
                    if isinstance(answer, Exception) and not stands:
                        raise answer
            except (NodeUnavailable, RateLimited, NodeBehind) as error:
                # A limited rate is told first: the others are worth less to whoever decides how long to wait.
                failure = failure if isinstance(failure, RateLimited) else error
                continue
            self._preferred = place
            return answers
        if failure is None:  # pragma: no cover - there is at least one endpoint
            raise NodeUnavailable("There is no endpoint.")
        raise failure

    def _chain_check(self, actual: int) -> None:
        if actual != self.chain_id:
            raise _wrong_chain(self.chain_id, actual)


class _Endpoint:
    """One node. A session belongs to one thread of one process: sockets must not be shared across a fork."""

    def __init__(self, url: str, *, name: str, timeout_s: float) -> None:
        self._url = url
        self._name = name
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._ids = itertools.count(1)
        self._checked = False

    def chain_check(self, expected: int) -> None:
        """Ask for the chain id once, and again after every failure of the connection. Raises `WrongChain`."""
        if self._checked:
            return
        answer = self.post([("eth_chainId", [])])[0]
        if isinstance(answer, Exception):
            raise answer
        if number_parse(answer) != expected:
            raise _wrong_chain(expected, number_parse(answer))
        self._checked = True

    def post(self, calls: Sequence[Call]) -> list[Any]:
        """The result or the named error of each call, in order."""
        first = next(self._ids)
        ids = [first, *(next(self._ids) for _ in calls[1:])]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        try:
            content = self._exchange(orjson.dumps(body[0] if len(body) == 1 else body), [method for method, _ in calls])
        except NodeUnavailable:
            self._checked = False
            raise
        answers = content if isinstance(content, list) else [content]
        by_id = {
            answer.get("id"): answer
            for answer in answers
            if isinstance(answer, dict) and isinstance(answer.get("id"), int | None)
        }
        if len(calls) > 1 and len(answers) == 1 and "error" in by_id.get(None, {}):
            # A batch that is refused as a whole comes back as one error.
            raise error_name(by_id[None]["error"], method=calls[0][0])
        return [self._result(by_id.get(number), method) for number, (method, _) in zip(ids, calls, strict=True)]

    def _result(self, answer: Any, method: str) -> Any:
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            return NodeUnavailable(f"The node at {self._name} left out an answer to {method}.")
        if answer.get("error") is not None:
            return error_name(answer["error"], method=method)
        return answer.get("result")

    def _exchange(self, body: bytes, methods: list[str]) -> Any:
        try:
            with self._session().post(
                self._url, data=body, timeout=self._timeout_s, stream=True, allow_redirects=False
            ) as response:
                content = self._read(response)
                status, wait = response.status_code, response.headers.get("Retry-After", "")
        except (requests.RequestException, HTTPError, OSError) as error:
            # The text of these errors holds the URL, so only the type is told.
            raise NodeUnavailable(f"The node at {self._name} does not answer ({type(error).__name__}).") from None
        if content is None:
            raise _too_large(methods, f"The node at {self._name} answered more than {RESPONSE_MAX_BYTES} bytes.")
        return self._parsed(content, status, wait, methods=methods)

    def _read(self, response: requests.Response) -> bytes | None:
        """The body, `None` where it is too large. The socket's timeout alone would let a node drip for ever."""
        deadline = time.monotonic() + RESPONSE_TIME_FACTOR * self._timeout_s
        content = bytearray()
        for chunk in response.raw.stream(65536, decode_content=True):
            content += chunk
            if len(content) > RESPONSE_MAX_BYTES:
                return None
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(content)

    def _parsed(self, content: bytes, status: int, wait: str, *, methods: list[str]) -> Any:
        if status == 429:
            seconds = float(wait) if wait.isdecimal() else retry_after(content[:1000].decode("utf-8", "replace"))
            raise RateLimited(f"The node at {self._name} limits requests.", retry_after=min(max(seconds, 1.0), 300.0))
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
            session = requests.Session()
            # Proxies and credentials of the environment are not for this connection.
            session.trust_env = False
            session.headers["Content-Type"] = "application/json"
            session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1))
            session.mount("https://", HTTPAdapter(pool_connections=1, pool_maxsize=1))
            mine = (os.getpid(), session)
            self._local.session = mine
        return mine[1]


def _call(transaction: dict[str, str], block_hash: str | None) -> Call:
    # EIP-1898: a block that left the canonical chain is an error, not an old answer.
    block: Any = {"blockHash": block_hash, "requireCanonical": True} if block_hash else "latest"
    return "eth_call", [transaction, block]


def _members(parsed: Any) -> set[str]:
    """The members of an answer, or of all answers of a batch."""
    return set().union(*(item for item in (parsed if isinstance(parsed, list) else [parsed]) if isinstance(item, dict)))


def _too_large(methods: list[str], message: str) -> RangeTooLarge | NodeUnavailable:
    return RangeTooLarge(message) if "eth_getLogs" in methods else NodeUnavailable(message)


def _wrong_chain(expected: int, actual: int) -> WrongChain:
    message = (
        f"The node serves chain {actual}, the settings name chain {expected}. Correct WEIGHHOUSE_RPC_URL or _CHAIN_ID."
    )
    return WrongChain(message, expected=expected, actual=actual)
