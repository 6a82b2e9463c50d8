"""The gateway against nodes that answer what no node should."""

import gzip
import json
import logging
import socket
import threading
import tracemalloc
from typing import Any

import pytest

from chain.gateway import endpoint
from chain.gateway.errors import NodeBehind, NodeUnavailable, RateLimited, WrongChain
from chain.gateway.jsonrpc import JsonRpcGateway
from tests.chain.nodes import CHAIN, Node, block_of, failing, gateway_to


def by_number(method: str, params: list[Any]) -> Any:
    return block_of(100 if params[0] in {"latest", "finalized"} else int(params[0], 16))


@pytest.fixture
def node(node: Node) -> Node:
    node.reply = by_number
    return node


def batches(reshape):
    """Applied to a batch; the question for the chain id alone is answered as usual."""
    return lambda answers: reshape(answers) if isinstance(answers, list) else answers


@pytest.mark.parametrize("kept", [0, 1, 20, 200])
def test_truncated_json_is_unavailable(node, kept):
    gateway = gateway_to(node)
    gateway.heads()
    whole = json.dumps([{"jsonrpc": "2.0", "id": n, "result": block_of(n)} for n in range(2, 5)])
    node.raw = whole.encode()[:kept]
    with pytest.raises(NodeUnavailable):
        gateway.heads()


def test_connection_that_ends_in_the_middle_of_the_body_is_unavailable(node):
    gateway = gateway_to(node, timeout_s=0.5)
    gateway.heads()
    node.announced_extra = 1000
    with pytest.raises(NodeUnavailable):
        gateway.heads()


@pytest.mark.parametrize("answer", [None, [], {}, "", 0, True, "0x5"])
def test_null_or_anything_else_instead_of_the_newest_block_is_unavailable(node, answer):
    node.reply = lambda method, params: answer
    with pytest.raises(NodeUnavailable):
        gateway_to(node).heads()
    with pytest.raises(NodeUnavailable):
        gateway_to(node).header_at(None)


def test_null_logs_are_unavailable_and_not_no_logs(node):
    node.reply = lambda method, params: None if method == "eth_getLogs" else block_of(1)
    with pytest.raises(NodeUnavailable):
        gateway_to(node).logs_in_range(["0x" + "11" * 20], first=0, last=1)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_half_a_batch_is_unavailable_although_the_rest_is_well(node, left):
    node.reshape = batches(lambda answers: answers[:left])
    with pytest.raises(NodeUnavailable):
        gateway_to(node).heads()


def test_batch_that_is_answered_out_of_order_is_put_in_order(node):
    node.reshape = batches(lambda answers: answers[::-1])
    assert [header.number for header in gateway_to(node).headers(range(7))] == list(range(7))


@pytest.mark.parametrize(
    "reshape",
    [
        lambda answers: [answer | {"id": str(answer["id"])} for answer in answers],
        lambda answers: [answer | {"id": True} for answer in answers],
        lambda answers: [answer | {"id": float(answer["id"]) + 0.5} for answer in answers],
        lambda answers: [answer | {"id": answers[0]["id"]} for answer in answers],
        lambda answers: [answer | {"id": answer["id"] + 1} for answer in answers],
        lambda answers: [answer | {"id": None} for answer in answers],
        lambda answers: answers + answers[:1],
        lambda answers: [answers],
        lambda answers: {str(answer["id"]): answer for answer in answers},
    ],
    ids=["strings", "booleans", "fractions", "one for all", "shifted", "none", "one twice", "nested", "an object"],
)
def test_batch_with_ids_that_are_not_those_asked_is_unavailable(node, reshape):
    node.reshape = batches(reshape)
    with pytest.raises(NodeUnavailable):
        gateway_to(node).headers([1, 2])


def test_true_is_not_the_id_one(node):
    node.reshape = lambda answer: answer | {"id": True}
    with pytest.raises(NodeUnavailable):
        gateway_to(node).request("eth_chainId", [])


def test_second_answer_to_one_call_does_not_replace_the_first(node):
    forged = block_of(1) | {"hash": "0x" + "66" * 32}
    node.reshape = batches(lambda answers: [*answers, answers[0] | {"result": forged}])
    with pytest.raises(NodeUnavailable, match="twice"):
        gateway_to(node).headers([1, 2])


def test_answers_that_nobody_asked_for_are_left_out(node):
    node.reshape = batches(lambda answers: [{"id": 10**9, "result": {}}, *answers, {"id": "x", "result": 1}, None, 7])
    assert [header.number for header in gateway_to(node).headers([1, 2])] == [1, 2]


def test_error_without_an_id_is_the_error_of_the_one_call_that_was_sent(node):
    gateway = gateway_to(node)
    gateway.heads()
    node.raw = json.dumps({"id": None, "error": {"code": 429, "message": "Too Many Requests, retry in 7s"}}).encode()
    with pytest.raises(RateLimited) as caught:
        gateway.request("eth_gasPrice", [])
    assert caught.value.retry_after == 7


def test_other_block_than_the_one_that_was_asked_for_is_unavailable(node):
    node.reply = lambda method, params: block_of(100)
    gateway = gateway_to(node)
    with pytest.raises(NodeUnavailable, match="instead of block 99"):
        gateway.headers([99])
    with pytest.raises(NodeUnavailable, match="another block"):
        gateway.header_at("0x" + "77" * 32)
    with pytest.raises(NodeUnavailable, match="instead of block 99"):
        gateway.poll(99)


@pytest.mark.parametrize("status", [200, 404, 500, 502, 503])
def test_page_instead_of_an_answer_is_unavailable(node, status):
    node.status, node.raw = status, b"<!doctype html><title>We will be back</title>"
    node.headers = {"Content-Type": "text/html"}
    with pytest.raises(NodeUnavailable, match=f"status {status}"):
        gateway_to(node).heads()


def test_compressed_answer_is_read_and_one_that_grows_without_end_is_not_kept(node, monkeypatch):
    node.compressed = True
    gateway = gateway_to(node)
    assert gateway.heads().latest.number == 100
    monkeypatch.setattr(endpoint, "RESPONSE_MAX_BYTES", 1_000_000)
    node.compressed, node.headers = False, {"Content-Encoding": "gzip"}
    node.raw = gzip.compress(b" " * 200_000_000, 1)
    assert len(node.raw) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(NodeUnavailable, match="more than"):
            gateway.request("eth_gasPrice", [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_damaged_compression_is_unavailable(node):
    node.headers, node.raw = {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08 nonsense"
    with pytest.raises(NodeUnavailable):
        gateway_to(node).heads()


@pytest.mark.parametrize("part", ["header_drip_s", "body_drip_s"])
def test_node_that_drips_its_answer_is_given_up(node, part):
    """The answer is complete, and each byte comes within the timeout: without a deadline it would be believed."""
    gateway = gateway_to(node, timeout_s=0.2)
    gateway.heads()
    setattr(node, part, 0.05)
    with pytest.raises(NodeUnavailable):
        gateway.heads()


def test_node_that_was_swapped_for_one_of_another_chain_is_noticed_and_left(node):
    gateway = gateway_to(node)
    gateway.heads()
    node.chain_id = 1
    with pytest.raises(WrongChain) as caught:
        gateway.heads()
    assert caught.value.actual == 1
    with pytest.raises(WrongChain):
        gateway.poll(5)
    node.calls.clear()
    with pytest.raises(WrongChain):
        gateway.call("0x" + "11" * 20, "0x")
    assert node.calls == ["eth_chainId"], "nothing else is asked of it until it names the right chain again"
    node.chain_id = 31337
    assert gateway.heads().latest.number == 100


def test_other_endpoint_serves_while_one_was_swapped_for_another_chain(make_node):
    first, second = make_node(), make_node()
    first.reply = second.reply = by_number
    gateway = gateway_to(first, second)
    gateway.heads()
    first.chain_id = 1
    assert gateway.heads().latest.number == 100
    assert gateway.endpoint_health()[0].state == "wrong_chain"
    second.reply = failing(-32603, "internal error")
    with pytest.raises(NodeUnavailable):
        gateway.heads()


def test_poll_is_one_round_trip(node):
    gateway = gateway_to(node)
    gateway.heads()
    posts = node.posts
    poll = gateway.poll(7)
    assert node.posts == posts + 1
    assert (poll.heads, poll.next.number) == (gateway.heads(), 7)


def test_poll_without_a_next_block_asks_for_none(node):
    gateway = gateway_to(node)
    gateway.heads()
    node.calls.clear()
    assert gateway.poll(None).next is None
    assert node.calls == ["eth_chainId", "eth_getBlockByNumber", "eth_getBlockByNumber"]


@pytest.mark.parametrize("missing", [None, {"error": {"code": -32000, "message": "header not found"}}])
def test_poll_of_a_block_that_is_not_there_yet_has_no_next(node, missing):
    node.reply = lambda method, params: block_of(100) if params[0] in {"latest", "finalized"} else missing
    poll = gateway_to(node).poll(101)
    assert poll.next is None
    assert poll.heads.latest.number == 100


def test_poll_that_met_a_new_block_half_way_has_a_head_that_is_not_below_it(node):
    poll = gateway_to(node).poll(101)
    assert poll.next.number == poll.heads.latest.number == 101
    assert poll.heads.finalized_number == 100


def test_poll_of_a_real_node_gives_what_heads_and_headers_give(market):
    market.publish()
    heads = market.gateway.heads()
    poll = market.gateway.poll(heads.latest.number)
    assert poll.heads == heads
    assert [poll.next] == market.gateway.headers([heads.latest.number])
    assert poll.next.logs_bloom
    assert market.gateway.poll(heads.latest.number + 1).next is None


def test_block_that_no_endpoint_has_is_behind_also_where_another_is_down(make_node):
    first, second = make_node(), make_node()
    first.reply = lambda method, params: None
    second.status, second.raw = 503, b"maintenance"
    with pytest.raises(NodeBehind):
        gateway_to(first, second).header_at("0x" + "77" * 32)


@pytest.mark.parametrize("place", [[(4, 0)], [(9, 0)], [(5, 1), (5, 1)]])
def test_logs_that_were_not_asked_for_or_come_twice_are_refused(node, place):
    address = "0x" + "11" * 20
    logs = [
        {
            "address": address,
            "topics": [],
            "data": "0x",
            "blockNumber": hex(number),
            "blockHash": "0x" + "aa" * 32,
            "transactionHash": "0x" + "cc" * 32,
            "transactionIndex": "0x0",
            "logIndex": hex(index),
        }
        for number, index in place
    ]
    node.reply = lambda method, params: logs if method == "eth_getLogs" else block_of(8)
    gateway = JsonRpcGateway([node.url], chain_id=CHAIN)
    with pytest.raises(NodeUnavailable, match="other logs"):
        gateway.logs_in_range([address], first=5, last=8)


def test_headers_that_cannot_be_read_put_no_address_into_a_log(caplog):
    caplog.set_level(logging.DEBUG)
    server = socket.create_server(("127.0.0.1", 0))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n no header\r\nalso none\r\n\r\n{}"

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    gateway = JsonRpcGateway([f"http://127.0.0.1:{server.getsockname()[1]}/v3/SECRET-KEY"], chain_id=CHAIN)
    with pytest.raises(NodeUnavailable):
        gateway.heads()
    server.close()
    assert "SECRET-KEY" not in caplog.text
