"""A node that misbehaves: a real HTTP server in front of a real node, which spoils answers as it is told."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

# A status, headers and a body; no status: the connection is closed without an answer.
Answer = tuple[int | None, dict[str, str], bytes]
Spoil = Callable[[list[dict[str, Any]], Callable[[list[dict[str, Any]]], list[dict[str, Any]]]], Answer]

RANGE_WORDS = (
    (-32005, "query returned more than 10000 results"),  # Infura
    (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),  # Alchemy
    (-32000, "exceed maximum block range: 5000"),  # Erigon
    (-32000, "block range is too wide"),  # Nethermind
    (-32000, "exceeds max block range 1000"),  # geth behind a gateway
)
RATE_WORDS = (
    (429, "Your app has exceeded its compute units per second capacity"),  # Alchemy
    (-32005, "project ID request rate exceeded"),  # Infura
    (-32029, "Too many requests, please try again in 1s"),
)


@dataclass
class FaultyNode:
    """Forwards to `upstream`. The next requests are answered by `faults`, one each, then everything is well again."""

    upstream: str
    faults: list[Spoil] = field(default_factory=list)
    # Blocks that this node is behind its upstream.
    lag: int = 0
    # Called before a request is forwarded.
    before: list[Callable[[], None]] = field(default_factory=list)
    requests_seen: int = 0
    url: str = ""
    _session: requests.Session = field(default_factory=requests.Session)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: bytes) -> Answer:
        parsed = json.loads(body)
        calls = parsed if isinstance(parsed, list) else [parsed]
        with self._lock:
            self.requests_seen += 1
            if self.before:
                self.before.pop(0)()
            if self.faults:
                return self.faults.pop(0)(calls, self._forward)
            return as_json(self._forward(calls), single=not isinstance(parsed, list))

    def heal(self) -> None:
        self.faults.clear()
        self.before.clear()
        self.lag = 0

    def _forward(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self.lag:
            return self._upstream(calls)
        head = int(self._upstream([_head_call()])[0]["result"]["number"], 16) - self.lag
        answers = self._upstream([_lagged(call, head) for call in calls])
        return [_without_future(call, answer, head) for call, answer in zip(calls, answers, strict=True)]

    def _upstream(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = self._session.post(self.upstream, json=calls, timeout=30).json()
        by_id = {answer["id"]: answer for answer in found}
        return [by_id[call["id"]] for call in calls]


def as_json(answers: list[dict[str, Any]], *, single: bool = False) -> Answer:
    return 200, {}, json.dumps(answers[0] if single else answers).encode()


def _head_call() -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 0, "method": "eth_getBlockByNumber", "params": ["latest", False]}


def _lagged(call: dict[str, Any], head: int) -> dict[str, Any]:
    """The call as a node would understand it whose newest block is `head`."""
    params = json.loads(json.dumps(call["params"]).replace('"latest"', f'"{hex(max(head, 0))}"'))
    if call["method"] == "eth_getLogs" and int(params[0].get("toBlock", "0x0"), 16) > head:
        # It answers what it has, without an error.
        params[0]["toBlock"] = hex(max(head, 0))
        params[0]["fromBlock"] = hex(min(int(params[0]["fromBlock"], 16), max(head, 0)))
    return {**call, "params": params}


def _without_future(call: dict[str, Any], answer: dict[str, Any], head: int) -> dict[str, Any]:
    block = answer.get("result")
    if call["method"].startswith("eth_getBlockBy") and isinstance(block, dict) and int(block["number"], 16) > head:
        return {**answer, "result": None}
    return answer


def null_results(calls: list[dict[str, Any]], _forward: Any) -> Answer:
    return as_json([{"jsonrpc": "2.0", "id": call["id"], "result": None} for call in calls], single=len(calls) == 1)


def truncated(calls: list[dict[str, Any]], forward: Any) -> Answer:
    status, headers, body = as_json(forward(calls), single=len(calls) == 1)
    return status, headers, body[: len(body) // 2]


def half_a_batch(calls: list[dict[str, Any]], forward: Any) -> Answer:
    return as_json(forward(calls)[: max(len(calls) // 2, 1)])


def shuffled(calls: list[dict[str, Any]], forward: Any) -> Answer:
    return as_json(forward(calls)[::-1], single=len(calls) == 1)


def wrong_chain(calls: list[dict[str, Any]], forward: Any) -> Answer:
    answers = forward(calls)
    for call, answer in zip(calls, answers, strict=True):
        if call["method"] == "eth_chainId":
            answer["result"] = "0x1"
    return as_json(answers, single=len(calls) == 1)


def failing(_calls: Any, _forward: Any) -> Answer:
    return 503, {}, b"<html>no backend</html>"


def silent(_calls: Any, _forward: Any) -> Answer:
    return None, {}, b""


def page(_calls: Any, _forward: Any) -> Answer:
    return 200, {"Content-Type": "text/html"}, b"<html>Sign in to the hotel</html>"


def limited(_calls: Any, _forward: Any) -> Answer:
    return 429, {"Retry-After": "1"}, b"{}"


def worded(words: tuple[int, str], *methods: str) -> Spoil:
    """An error in a vendor's words, for these methods or for all."""

    def spoil(calls: list[dict[str, Any]], forward: Any) -> Answer:
        error = {"code": words[0], "message": words[1]}
        answers = [
            {"jsonrpc": "2.0", "id": call["id"], "error": error} if not methods or call["method"] in methods else answer
            for call, answer in zip(calls, forward(calls), strict=True)
        ]
        return as_json(answers, single=len(calls) == 1)

    return spoil


def any_fault(rng: random.Random) -> Spoil:
    """One of all ways to answer badly."""
    plain = (null_results, truncated, half_a_batch, shuffled, wrong_chain, failing, silent, page, limited)
    vendor = [worded(words, "eth_getLogs") for words in RANGE_WORDS] + [worded(words) for words in RATE_WORDS]
    return rng.choice([*plain, *plain, *vendor])


@contextmanager
def faulty_node(upstream: str) -> Iterator[FaultyNode]:
    """A `FaultyNode` on a free port of this machine."""
    node = FaultyNode(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, headers, body = node.answer(self.rfile.read(int(self.headers["Content-Length"])))
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield node
    finally:
        server.shutdown()
        server.server_close()
