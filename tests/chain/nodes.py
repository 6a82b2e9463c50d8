"""A small HTTP server that answers JSON-RPC as a test tells it to, and misbehaves in known ways."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chain.gateway.jsonrpc import JsonRpcGateway

CHAIN = 31337
HEADER = {"number": "0x5", "hash": "0x" + "aa" * 32, "parentHash": "0x" + "bb" * 32, "timestamp": "0x6"}
Reply = Callable[[str, list[Any]], Any]


def block_of(number: int, *, timestamp: int = 6) -> dict[str, str]:
    """A header as a node writes it."""
    return HEADER | {"number": hex(number), "hash": f"0x{number:064x}", "timestamp": hex(timestamp)}


class Node:
    """An HTTP server that answers each call with what `reply(method, params)` returns: a result, or an error.

    `reshape` changes the answers of a batch as a whole, `raw` replaces the body, `announced_extra` promises more bytes
    than come before the connection ends. The drips are pauses in seconds after each byte of the headers or the body.
    """

    def __init__(self) -> None:
        self.reply: Reply = lambda method, params: None
        self.reshape: Callable[[Any], Any] = lambda answers: answers
        self.chain_id = CHAIN
        self.status = 200
        self.headers: dict[str, str] = {}
        self.raw: bytes | None = None
        self.compressed = False
        self.announced_extra = 0
        self.header_drip_s = 0.0
        self.body_drip_s = 0.0
        self.calls: list[str] = []
        self.posts = 0
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                node.posts += 1
                self._answer(node.raw if node.raw is not None else json.dumps(node.answer(content)).encode())

            def _answer(self, body: bytes) -> None:
                lines = dict(node.headers)
                if node.compressed:
                    body = gzip.compress(body)
                    lines["Content-Encoding"] = "gzip"
                lines["Content-Length"] = str(len(body) + node.announced_extra)
                self.close_connection = self.close_connection or node.announced_extra > 0
                head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
                try:
                    self._write(f"HTTP/1.1 {node.status} told\r\n{head}\r\n".encode(), node.header_drip_s)
                    self._write(body, node.body_drip_s)
                except OSError:
                    # The client has had enough.
                    self.close_connection = True

            def _write(self, data: bytes, pause_s: float) -> None:
                if not pause_s:
                    self.wfile.write(data)
                    return
                for byte in data:
                    self.wfile.write(bytes([byte]))
                    time.sleep(pause_s)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v3/SECRET-KEY"

    def answer(self, content: Any) -> Any:
        if isinstance(content, list):
            return self.reshape([self._one(item) for item in content])
        return self.reshape(self._one(content))

    def _one(self, content: Any) -> dict[str, Any]:
        self.calls.append(content["method"])
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": content["id"]}
        if content["method"] == "eth_chainId":
            return answer | {"result": hex(self.chain_id)}
        result = self.reply(content["method"], content["params"])
        return answer | (result if isinstance(result, dict) and "error" in result else {"result": result})

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def gateway_to(*nodes: Node, **options: Any) -> JsonRpcGateway:
    return JsonRpcGateway(
        [node.url for node in nodes], chain_id=CHAIN, timeout_s=options.pop("timeout_s", 5), **options
    )


def failing(code: int, message: str, data: Any = None) -> Reply:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return lambda method, params: {"error": error}
