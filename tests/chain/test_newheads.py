"""The websocket hint: on a real node, and on servers that want to do more than hint."""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import Server, ServerConnection, serve

from chain.gateway import newheads
from chain.gateway.newheads import NewHeads
from tools.demo.ports import free_port

WAIT_S = 20.0


class Wakes:
    """Counts the calls of `wake`, and waits for one more."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_for(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, WAIT_S)


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def follow(wakes) -> Iterator[Callable[[str], NewHeads]]:
    """`follow(url)`: a started hint that calls `wakes`."""
    started: list[NewHeads] = []

    def start(url: str) -> NewHeads:
        heads = NewHeads(url, wakes)
        heads.start()
        started.append(heads)
        return heads

    yield start
    for heads in started:
        heads.stop()
        assert not heads._thread.is_alive()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(newheads, "BACKOFF_FIRST_S", 0.02)


@pytest.fixture
def serving() -> Iterator[Callable[..., str]]:
    """`serving(handler, port=None)`: the address of a server that hands each connection to `handler`."""
    servers: list[Server] = []

    def start(handler: Callable[[ServerConnection], None], *, port: int = 0) -> str:
        server = serve(handler, "127.0.0.1", port, logger=logging.Logger("server", logging.CRITICAL + 1))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v3/SECRET-KEY"

    yield start
    for server in servers:
        server.shutdown()


def test_each_new_block_of_a_real_node_wakes(make_anvil, follow, wakes):
    anvil = make_anvil(arguments=["--no-mining"])
    follow(anvil.url.replace("http", "ws"))
    # The connection as such, and the answer to the subscription.
    assert wakes.wait_for(2)
    for number in range(3, 6):
        assert wakes.count == number - 1
        anvil.rpc("evm_mine")
        assert wakes.wait_for(number)


def test_real_node_that_comes_back_is_followed_again(make_anvil, follow, wakes):
    anvil = make_anvil(arguments=["--no-mining"])
    port = int(anvil.url.rsplit(":", 1)[1])
    follow(anvil.url.replace("http", "ws"))
    assert wakes.wait_for(2)
    anvil.spawned.kill()
    again = make_anvil(port=port, arguments=["--no-mining"])
    assert wakes.wait_for(4)
    again.rpc("evm_mine")
    assert wakes.wait_for(5)


def test_subscription_is_the_standard_one(serving, follow):
    asked: list[dict[str, object]] = []
    came = threading.Event()

    def handler(connection: ServerConnection) -> None:
        asked.append(json.loads(connection.recv()))
        came.set()

    follow(serving(handler))
    assert came.wait(WAIT_S)
    assert (asked[0]["method"], asked[0]["params"]) == ("eth_subscribe", ["newHeads"])


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "not json",
        b"\xff\xfe",
        "[" * 30_000,
        '{"params":{"result":{"number":"0xffffffff"}}}',
        '{"error":{}}',
    ],
    ids=["empty", "null", "words", "bytes", "nested", "a forged head", "a refusal"],
)
def test_content_of_a_message_is_never_looked_at(serving, follow, wakes, message):
    def handler(connection: ServerConnection) -> None:
        for _ in range(3):
            connection.send(message)
        connection.recv()
        connection.recv()

    follow(serving(handler))
    assert wakes.wait_for(4)


def test_invalid_text_and_messages_without_end_are_no_crash(serving, follow):
    tried = Wakes()

    def handler(connection: ServerConnection) -> None:
        tried()
        connection.send(b"\xff" * 10, text=True)
        connection.send("x" * (newheads.MESSAGE_MAX_BYTES + 1))
        connection.recv()
        connection.recv()

    follow(serving(handler))
    # Each connection ends at what is invalid, at times before it has woken anybody, and is made again.
    assert tried.wait_for(3)


def test_flood_of_messages_wakes_no_more_often_than_the_limit(serving, follow, wakes, monkeypatch):
    monkeypatch.setattr(newheads, "WAKES_PER_SECOND", 0.001)
    sent = threading.Event()

    def handler(connection: ServerConnection) -> None:
        for number in range(200):
            connection.send(str(number))
        sent.set()
        connection.recv()
        connection.recv()

    heads = follow(serving(handler))
    assert wakes.wait_for(2)
    assert sent.wait(WAIT_S)
    heads.stop()
    assert wakes.count == 2, "the connection, and one message"


def test_server_that_hangs_up_at_once_is_tried_again_and_again(serving, follow):
    tried = Wakes()
    follow(serving(lambda connection: tried()))
    assert tried.wait_for(5)


def test_connection_that_falls_silent_is_made_again(serving, follow, wakes, monkeypatch):
    monkeypatch.setattr(newheads, "SILENCE_MAX_S", 0.05)
    monkeypatch.setattr(newheads, "STOP_CHECK_S", 0.02)

    def handler(connection: ServerConnection) -> None:
        connection.recv()
        connection.recv()

    follow(serving(handler))
    assert wakes.wait_for(3)


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:1/SECRET-KEY", "http://127.0.0.1/SECRET-KEY", "ws://[SECRET-KEY", "", "ws://h:99999/SECRET"]
)
def test_address_that_leads_nowhere_raises_nothing_and_is_in_no_log(follow, wakes, caplog, url):
    caplog.set_level(logging.DEBUG)
    heads = follow(url)
    while len(caplog.records) < 3:
        heads._thread.join(0.01)
        assert heads._thread.is_alive()
    heads.stop()
    assert wakes.count == 0
    assert "SECRET" not in caplog.text
    assert "Polling goes on" in caplog.text


def test_address_is_in_no_log_while_it_works_and_when_it_ends(serving, follow, caplog):
    caplog.set_level(logging.DEBUG)
    tried = Wakes()
    follow(serving(lambda connection: tried()))
    assert tried.wait_for(3)
    assert "SECRET" not in caplog.text


def test_stop_ends_a_thread_whose_server_does_not_answer_at_all(follow, wakes):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        heads = NewHeads(f"ws://127.0.0.1:{listener.getsockname()[1]}", wakes)
        heads.start()
        heads.stop()
    heads._thread.join(WAIT_S)
    assert not heads._thread.is_alive()
    assert wakes.count == 0


def test_stop_may_come_before_start(wakes):
    NewHeads("ws://127.0.0.1:1", wakes).stop()
    assert wakes.count == 0
