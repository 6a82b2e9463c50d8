"""The client for addresses that a stranger named, against real receivers on this machine."""

import socket
import ssl
import subprocess
import threading
import time

import pytest

from chain.outgoing import (
    OutgoingClient,
    OutgoingRefusedError,
    OutgoingTimeoutError,
    OutgoingUnreachableError,
    OutgoingUrlError,
)
from chain.outgoing.addresses import address_is_public

REFUSED = """
127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 192.0.0.192
192.88.99.1 168.63.129.16 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::127.0.0.1 64:ff9b::7f00:1
64:ff9b:1::1 2002:7f00:1:: 2001:0:1::1 2001:db8::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%1 fec0::1 ff02::1
100::1 localhost 127.1 0x7f000001
"""


@pytest.mark.parametrize("address", REFUSED.split())
def test_address_that_not_everybody_can_reach_is_not_public(address):
    assert not address_is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "::ffff:8.8.8.8", "2606:4700::1111"])
def test_address_that_everybody_can_reach_is_public(address):
    assert address_is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8443/",
        "https://127.1:8443/",
        "https://0x7f000001:8443/",
        "https://2130706433:8443/",
        "https://localhost:8443/",
        "https://[::1]:8443/",
        "https://[::ffff:127.0.0.1]:8443/",
        "https://[::ffff:169.254.169.254]/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
    ],
)
def test_call_to_this_machine_under_any_spelling_is_refused(url):
    with pytest.raises((OutgoingRefusedError, OutgoingUnreachableError)) as caught:
        OutgoingClient().post(url, b"{}", {})
    assert caught.value.code == "outgoing.address_refused" or "0x7f" in url, caught.value


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://example.org/",
        "https://",
        "https:///path",
        "https://user:password@example.org/",
        "https://example.org:25/",
        "https://example.org:99999/",
        "https://example.org/ a",
        "https://example.org/\r\nX-Header: 1",
        "https://exämple.org/",
        "https://example.org\\@127.0.0.1/",
        "https://[::1/",
        "https://example.org/" + "a" * 2000,
    ],
)
def test_url_that_is_not_https_to_a_host_is_refused(url):
    with pytest.raises(OutgoingUrlError):
        OutgoingClient().url_check(url)


def test_call_to_a_listed_place_carries_host_path_and_body(receiver):
    there = receiver()
    answer = OutgoingClient(allowed=[there.place]).post(there.url, b'{"a":1}', {"X-One": "1"})
    (got,) = there.requests
    assert (answer.status, got.target, got.body) == (204, "/hook?a=b", b'{"a":1}')
    assert (got.headers["host"], got.headers["x-one"], got.headers["content-length"]) == (there.place, "1", "7")


def test_call_to_another_port_of_a_listed_host_is_refused(receiver):
    there, other = receiver(), receiver()
    with pytest.raises(OutgoingUrlError):
        OutgoingClient(allowed=[there.place]).post(other.url, b"", {})
    assert other.connections == 0


def test_name_that_turns_private_after_the_check_is_asked_once_and_connected_as_checked(receiver):
    there = receiver()
    answers = iter([["192.0.2.1"], ["127.0.0.1"]])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    client = OutgoingClient(resolve=rebinding)
    with pytest.raises(OutgoingRefusedError):
        client.post(f"https://rebind.example:{there.port}/", b"", {})
    with pytest.raises(OutgoingRefusedError):
        client.post(f"https://rebind.example:{there.port}/", b"", {})
    assert (asked, there.connections) == (["rebind.example"] * 2, 0)


def test_name_with_one_private_address_among_public_ones_is_refused(receiver):
    there = receiver()
    client = OutgoingClient(resolve=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(OutgoingRefusedError):
        client.post(f"https://mixed.example:{there.port}/", b"", {})
    assert there.connections == 0


def test_connection_goes_to_the_checked_address_and_never_asks_the_system_for_the_name(receiver, monkeypatch):
    there = receiver()
    place = f"only-the-fake-knows.invalid:{there.port}"
    asked: list[str] = []

    def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    OutgoingClient(allowed=[place], resolve=once).post(f"http://{place}/", b"", {})
    assert (asked, there.requests[0].headers["host"]) == (["only-the-fake-knows.invalid"], place)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_an_answer_and_is_not_followed(receiver, status):
    inner = receiver()
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {inner.url}\r\nContent-Length: 0\r\n\r\n".encode()
    there = receiver(raw=lambda connection: connection.sendall(head))
    answer = OutgoingClient(allowed=[there.place, inner.place]).post(there.url, b"", {})
    assert (answer.status, inner.connections) == (status, 0)


def _drip(piece: bytes, pause_s: float = 0.05):
    def raw(connection) -> None:
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return raw


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["status", "headers", "continue", "body", "chunks"],
)
def test_receiver_that_drips_is_left_when_the_time_for_it_all_is_over(receiver, start, piece):
    def raw(connection) -> None:
        connection.sendall(start)
        _drip(piece)(connection)

    there = receiver(raw=raw)
    began = time.monotonic()
    with pytest.raises((OutgoingTimeoutError, OutgoingUnreachableError)):
        OutgoingClient(allowed=[there.place], timeout_s=0.6).post(there.url, b"", {})
    assert time.monotonic() - began < 5


def test_receiver_that_reads_nothing_is_left_when_the_time_is_over(receiver):
    listener = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    with listener, pytest.raises(OutgoingTimeoutError):
        OutgoingClient(allowed=[place], timeout_s=0.5).post(f"http://{place}/", b"x" * 50_000_000, {})


@pytest.mark.parametrize("head", [b"", b"Content-Length: 9000000000\r\n"])
def test_receiver_that_answers_gigabytes_is_cut_at_the_limit(receiver, head):
    sent = threading.Event()

    def raw(connection) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        try:
            for _ in range(4096):
                connection.sendall(b"x" * 1024 * 1024)
        finally:
            sent.set()

    there = receiver(raw=raw)
    answer = OutgoingClient(allowed=[there.place], max_bytes=1000).post(there.url, b"", {})
    assert (answer.status, len(answer.body), answer.is_cut) == (200, 1000, True)
    assert sent.wait(10), "the connection was not closed"


@pytest.mark.parametrize(
    "said", [b"", b"\0" * 100, b"HTTP/1.1 9999 \r\n\r\n", b"SSH-2.0-x\r\n", b"x" * 70_000 + b"\r\n"]
)
def test_receiver_that_does_not_speak_http_is_unreachable_and_not_quoted(receiver, said):
    there = receiver(raw=lambda connection: connection.sendall(said))
    with pytest.raises(OutgoingUnreachableError) as caught:
        OutgoingClient(allowed=[there.place]).post(there.url, b"", {})
    assert "SSH" not in caught.value.message and "9999" not in caught.value.message


def test_place_where_nothing_listens_is_unreachable(receiver):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(OutgoingUnreachableError):
        OutgoingClient(allowed=[place]).post(f"http://{place}/", b"", {})


def test_name_that_does_not_resolve_is_unreachable():
    with pytest.raises(OutgoingUnreachableError):
        OutgoingClient().post("https://no-such-host.invalid/", b"", {})


@pytest.fixture
def certificate(tmp_path):
    """A certificate of its own authority for hook.example."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=hook.example"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:hook.example"], check=True, capture_output=True)
    return key, cert


@pytest.mark.parametrize(("host", "is_good"), [("hook.example", True), ("other.example", False)])
def test_certificate_must_name_the_host_and_not_the_address(receiver, certificate, host, is_good):
    key, cert = certificate
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))
    place = f"{host}:{listener.getsockname()[1]}"

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with server.wrap_socket(connection, server_side=True) as wrapped:
                got = b""
                while not got.endswith(b"{}"):
                    got += wrapped.recv(65536)
                wrapped.sendall(b"HTTP/1.1 202 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    trusting = ssl.create_default_context(cafile=str(cert))
    client = OutgoingClient(allowed=[place], resolve=lambda host, port: ["127.0.0.1"], tls=trusting)
    try:
        if is_good:
            assert client.post(f"https://{place}/", b"{}", {})[:2] == (202, b"ok")
        else:
            with pytest.raises(OutgoingUnreachableError):
                client.post(f"https://{place}/", b"{}", {})
    finally:
        thread.join(10)
        listener.close()
