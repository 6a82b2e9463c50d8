"""A small node that speaks the part of Kubo's RPC that the store uses, and can be told to misbehave."""

import io
import json
import threading
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from weighhouse.core import car


class NodeDouble:
    """Blocks and pins in memory, behind a real socket. `lie` replaces the bytes of every block that is asked for."""

    def __init__(self) -> None:
        self.blocks: dict[str, bytes] = {}
        self.pins: set[str] = set()
        self.lie: bytes | None = None
        self.claimed_root: str | None = None
        self.requests: list[str] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                url = urlsplit(self.path)
                double.requests.append(url.path.removeprefix("/api/v0/"))
                body = _body(self)
                status, answer = double.answer(url.path, parse_qs(url.query), self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"/ip4/127.0.0.1/tcp/{self._server.server_port}/http"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path, query, headers, body: bytes) -> tuple[int, bytes]:
        argument = query.get("arg", [""])[0]
        if path.endswith("/dag/import"):
            return self._import(headers, body)
        if path.endswith("/block/get"):
            found = self.lie if self.lie is not None else self.blocks.get(argument)
            return (200, found) if found is not None else _error(f"block was not found locally: {argument}")
        if path.endswith("/pin/ls"):
            if argument not in self.pins:
                return _error(f"path '{argument}' is not pinned")
            return 200, json.dumps({"Keys": {argument: {"Type": "recursive"}}}).encode()
        return 404, b""

    def _import(self, headers, body: bytes) -> tuple[int, bytes]:
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        (part,) = BytesParser().parsebytes(head + body).get_payload()
        stream = part.get_payload(decode=True)
        blocks = {str(cid): block for cid, block in car.read(io.BytesIO(stream))}
        self.blocks |= blocks
        root = self.claimed_root or next(reversed(blocks))
        self.pins.add(root)
        return 200, json.dumps({"Root": {"Cid": {"/": root}, "PinErrorMsg": ""}}).encode() + b"\n"


def _error(message: str) -> tuple[int, bytes]:
    return 500, json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if "Content-Length" in handler.headers:
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return b""
    pieces = []
    while size := int(handler.rfile.readline(), 16):
        pieces.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(pieces)
