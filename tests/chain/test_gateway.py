"""The JSON-RPC gateway against servers that misbehave in known ways, and against a real node."""

import json
import logging

import pytest

from chain.abi import event_topic
from chain.gateway import endpoint, jsonrpc
from chain.gateway.errors import (
    NodeBehind,
    NodeUnavailable,
    RangeTooLarge,
    RateLimited,
    Reverted,
    RpcError,
    WrongChain,
)
from chain.gateway.fake import FakeGateway, FakeLog
from chain.gateway.jsonrpc import JsonRpcGateway
from tests.chain.nodes import CHAIN, HEADER, failing, gateway_to


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit",
        ),
        (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32600, "block range is too wide"),
        (-32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800"),
        (-32000, "exceed maximum block range: 5000"),
        (-32000, "requested too many blocks from 0 to 9999, maximum is set to 2048"),
        (-32000, "Maximum allowed number of requested blocks is 10000"),
        (-32000, "logs matched by query exceeds limit of 10000"),
        (-32602, "query exceeds max results 20000, retry with the range 1-2"),
        (-32602, "query exceeds max block range 100000"),
        (-32005, "Requested range exceeds maximum range limit"),
        (-32000, "Block range limit exceeded. See more details at https://docs.example/limits"),
        (-32602, "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range"),
        (-32008, "Response is too big"),
        (-32020, "backend response too large"),
        (-32000, "response size should not greater than 10000000 bytes"),
        (-32000, "query timeout exceeded"),
        (-32000, "please limit the query to at most 1,000 blocks"),
        (-32005, "limit exceeded"),
    ],
)
def test_refusal_of_many_logs_is_range_too_large_whatever_the_vendor_calls_it(node, code, message):
    node.reply = failing(code, message)
    with pytest.raises(RangeTooLarge):
        gateway_to(node).logs_in_range(["0x" + "11" * 20], first=0, last=9999)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (429, "Your app has exceeded its compute units per second capacity. If you have retries enabled, ignore this"),
        (-32005, "project ID request rate exceeded"),
        (-32005, "daily request count exceeded, request rate limited"),
        (-32007, "50/second request limit reached - reduce calls per second or upgrade your account"),
        (-32090, "Too many requests, reason: call rate limit exhausted, retry in 10s"),
        (-32016, "over rate limit"),
        (-32029, "Too Many Requests"),
        (-32097, "Rate limit reached"),
        (35, "Ratelimit on your plan has been reached"),
    ],
)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_call"])
def test_refusal_of_many_requests_is_rate_limited_also_for_logs(node, method, code, message):
    node.reply = failing(code, message)
    with pytest.raises(RateLimited) as caught:
        gateway_to(node).request(method, [])
    assert caught.value.retry_after == (10 if "10s" in message else 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "header not found"),
        (-32000, "unknown block"),
        (-32001, "Resource not found"),
        (-32000, "Unknown block number"),
        (-32001, "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found"),
        (-32000, "cannot query unfinalized data: requested to block 9 after last accepted block 8"),
        (-32602, "BlockOutOfRangeError: block height is 12 but requested was 14"),
        (-32000, "hash 0xabcdef is not currently canonical"),
    ],
)
def test_missing_block_is_node_behind(node, code, message):
    node.reply = failing(code, message)
    with pytest.raises(NodeBehind):
        gateway_to(node).call("0x" + "11" * 20, "0x", block_hash="0x" + "22" * 32)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32603, "Internal error"),
        (-32000, "no backend is currently healthy to serve traffic"),
        (-32000, "still syncing"),
    ],
)
def test_broken_node_is_unavailable(node, code, message):
    node.reply = failing(code, message)
    with pytest.raises(NodeUnavailable):
        gateway_to(node).request("eth_blockNumber", [])


def test_other_refusal_keeps_the_nodes_code(node):
    node.reply = failing(-32601, "Method not found")
    with pytest.raises(RpcError) as caught:
        gateway_to(node).request("eth_foo", [])
    assert caught.value.rpc_code == -32601


@pytest.mark.parametrize(
    "data",
    [
        "0x08c379a0" + "20".rjust(64, "0") + "03".rjust(64, "0") + b"no!".hex().ljust(64, "0"),
        {"data": "0x08c379a0" + "20".rjust(64, "0") + "03".rjust(64, "0") + b"no!".hex().ljust(64, "0")},
        "Reverted 0x08c379a0" + "20".rjust(64, "0") + "03".rjust(64, "0") + b"no!".hex().ljust(64, "0"),
    ],
)
def test_revert_reason_is_decoded_wherever_the_node_puts_it(node, data):
    node.reply = failing(3, "execution reverted", data)
    with pytest.raises(Reverted) as caught:
        gateway_to(node).call("0x" + "11" * 20, "0x")
    assert (caught.value.error, caught.value.error_args) == ("Error", {"message": "no!"})


def test_panic_and_unknown_reverts_are_named(node):
    node.reply = failing(3, "execution reverted", "0x4e487b71" + "11".rjust(64, "0"))
    with pytest.raises(Reverted) as caught:
        gateway_to(node).call("0x" + "11" * 20, "0x")
    assert (caught.value.error, caught.value.error_args) == ("Panic", {"code": 17})
    node.reply = failing(3, "execution reverted", "0xdeadbeef")
    with pytest.raises(Reverted) as caught:
        gateway_to(node).call("0x" + "11" * 20, "0x")
    assert (caught.value.error, caught.value.error_args) == ("Unknown", {"data": "0xdeadbeef"})


def test_revert_reason_that_lies_about_its_length_is_unknown_and_no_crash(node):
    node.reply = failing(3, "execution reverted", "0x08c379a0" + "ff" * 64)
    with pytest.raises(Reverted) as caught:
        gateway_to(node).call("0x" + "11" * 20, "0x")
    assert caught.value.error == "Unknown"


@pytest.mark.parametrize("status", [429, 503])
def test_http_429_is_rate_limited_and_503_is_unavailable(node, status):
    node.status, node.raw, node.headers = status, b"go away", {"Retry-After": "7"}
    with pytest.raises(RateLimited if status == 429 else NodeUnavailable) as caught:
        gateway_to(node).request("eth_blockNumber", [])
    assert getattr(caught.value, "retry_after", 7) == 7


def test_http_413_for_logs_is_range_too_large(node):
    gateway = gateway_to(node)
    gateway.request("eth_chainId", [])
    node.status, node.raw = 413, b""
    with pytest.raises(RangeTooLarge):
        gateway.logs_in_range([], first=0, last=1)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"id":1}',
        b"[" * 5000,
        b'{"id":1,"result":"0x"}',
        b'[{"id":[]}]',
    ],
)
def test_answer_that_is_none_is_unavailable(node, raw):
    node.raw = raw
    with pytest.raises(NodeUnavailable):
        gateway_to(node).heads()


@pytest.mark.parametrize(
    "change",
    [{"number": 5}, {"number": "0xzz"}, {"hash": "0x12"}, {"hash": None}, {"parentHash": "aa" * 32}, {"timestamp": -1}],
)
def test_block_of_another_form_is_unavailable(node, change):
    node.reply = lambda method, params: HEADER | change
    with pytest.raises(NodeUnavailable, match="not"):
        gateway_to(node).header_at(None)


@pytest.mark.parametrize(("member", "most"), [("number", 2**63 - 1), ("timestamp", 253_402_300_799)])
def test_block_with_a_number_that_no_column_holds_is_unavailable(node, member, most):
    node.reply = lambda method, params: HEADER | {member: hex(most)}
    assert getattr(gateway_to(node).header_at(None), member) == most
    node.reply = lambda method, params: HEADER | {member: hex(most + 1)}
    with pytest.raises(NodeUnavailable, match=f"beyond {most}"):
        gateway_to(node).header_at(None)


LOG = {
    "address": "0x" + "11" * 20, "topics": [], "data": "0x", "blockNumber": "0x5", "blockHash": HEADER["hash"],
    "transactionHash": "0x" + "cc" * 32, "transactionIndex": "0x0", "logIndex": "0x0",
}  # fmt: skip


@pytest.mark.parametrize("member", ["blockNumber", "transactionIndex", "logIndex"])
def test_log_with_a_number_that_no_column_holds_is_unavailable(node, member):
    found = [LOG | {member: hex(2**63)}]
    node.reply = lambda method, params: found if method == "eth_getLogs" else HEADER
    with pytest.raises(NodeUnavailable, match="beyond"):
        gateway_to(node).logs_in_range([LOG["address"]], first=5, last=5)


def test_logs_of_foreign_addresses_and_removed_logs_are_left_out(node):
    found = [LOG, LOG | {"address": "0x" + "12" * 20}, LOG | {"removed": True, "logIndex": "0x1"}]
    node.reply = lambda method, params: found if method == "eth_getLogs" else HEADER
    logs = gateway_to(node).logs_in_range(["0x" + "11" * 20], first=5, last=5)
    assert [(item.address, item.log_index) for item in logs] == [("0x" + "11" * 20, 0)]


def test_range_beyond_the_nodes_head_is_node_behind_although_it_answered_logs(node):
    node.reply = lambda method, params: [] if method == "eth_getLogs" else None
    with pytest.raises(NodeBehind):
        gateway_to(node).logs_in_range([], first=0, last=99)


def test_logs_of_a_block_that_the_node_does_not_know_are_node_behind_although_it_answered_none(node):
    node.reply = lambda method, params: [] if method == "eth_getLogs" else None
    with pytest.raises(NodeBehind):
        gateway_to(node).logs_by_hash([], block_hashes=["0x" + "aa" * 32])


def test_answer_larger_than_the_limit_is_not_kept(node, monkeypatch):
    monkeypatch.setattr(endpoint, "RESPONSE_MAX_BYTES", 1000)
    gateway = gateway_to(node)
    gateway.request("eth_chainId", [])
    node.raw = b" " * 5000
    with pytest.raises(RangeTooLarge):
        gateway.logs_in_range([], first=0, last=1)
    with pytest.raises(NodeUnavailable):
        gateway.request("eth_blockNumber", [])


def test_redirect_is_not_followed(node, make_node):
    other = make_node()
    node.status, node.raw, node.headers = 307, b"", {"Location": other.url}
    with pytest.raises(NodeUnavailable):
        gateway_to(node).request("eth_blockNumber", [])
    assert other.posts == 0


def test_node_of_another_chain_is_refused_before_anything_else_is_asked(node):
    gateway = JsonRpcGateway([node.url], chain_id=1)
    with pytest.raises(WrongChain) as caught:
        gateway.request("eth_blockNumber", [])
    assert (caught.value.expected, caught.value.actual) == (1, CHAIN)
    assert node.calls == ["eth_chainId"]


def test_second_endpoint_answers_where_the_first_does_not_and_is_kept(node, make_node):
    second = make_node()
    second.reply = lambda method, params: "0x5"
    node.status, node.raw = 502, b"bad gateway"
    gateway = gateway_to(node, second)
    assert gateway.request("eth_blockNumber", []) == "0x5"
    asked = node.posts
    assert gateway.request("eth_blockNumber", []) == "0x5"
    assert node.posts == asked


def test_address_of_a_node_is_in_no_error_no_log_and_no_representation(node, caplog):
    caplog.set_level(logging.DEBUG)
    gateway = gateway_to(node, timeout_s=0.2)
    node.reply = failing(-32000, f"bad request to {node.url} please")
    with pytest.raises(RpcError) as refused:
        gateway.request("eth_foo", [])
    node.server.shutdown()
    node.server.server_close()
    with pytest.raises(NodeUnavailable) as caught:
        gateway_to(node, timeout_s=0.2).request("eth_blockNumber", [])
    told = [caplog.text, repr(gateway), str(caught.value), str(refused.value), repr(caught.value.__context__ and "")]
    assert "endpoint 1" in str(caught.value)
    assert not any("SECRET" in text for text in told)
    assert caught.value.__suppress_context__, "a traceback would show the URL of the inner error"


def test_batch_is_cut_and_its_answers_come_back_in_order(node, monkeypatch):
    monkeypatch.setattr(jsonrpc, "BATCH_SIZE", 3)
    node.reply = lambda method, params: HEADER | {"number": params[0]}
    headers = gateway_to(node).headers(range(10))
    assert [header.number for header in headers] == list(range(10))
    assert node.posts == 5, "the chain's id, then four batches"


def test_batch_refused_as_a_whole_is_its_error(node):
    gateway = gateway_to(node)
    gateway.request("eth_chainId", [])
    node.raw = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "slow down"}}).encode()
    with pytest.raises(RateLimited):
        gateway.headers([1, 2])


def test_real_node_answers_headers_logs_code_and_reverts(market):
    gateway = market.gateway
    model_id = market.publish()
    heads = gateway.heads()
    assert gateway.headers([heads.latest.number, heads.latest.number + 1]) == [heads.latest, None]
    assert gateway.header_at(heads.latest.hash) == heads.latest
    (logs,) = gateway.logs_by_hash([market.book.contract("ModelRegistry").address], block_hashes=[heads.latest.hash])
    assert len(logs) >= 2
    assert gateway.code(market.usd)
    assert gateway.code(market.buyer) == b""
    with pytest.raises(Reverted) as caught:
        market.release(model_id, b"\x02" * 32, by=market.outsider)
    assert caught.value.error == "NotModelOwner"
    assert caught.value.error_args == {"modelId": model_id, "caller": market.outsider}
    assert caught.value.data["args"] == {"modelId": str(model_id), "caller": market.outsider}


def test_real_node_and_the_chain_in_memory_pick_logs_by_their_topics(market):
    address, topic = market.book.contract("LicenceMarket").address, event_topic("LicenceMarket", "LicenceBought")
    _, plan_id, one = market.sold_licence()
    two = market.buy(plan_id)
    head = market.gateway.header_at(None).number
    fake, words = FakeGateway(), {number: f"0x{number:064x}" for number in (one, two)}
    logs = market.gateway.logs_in_range([address], first=head - 1, last=head)
    fake.mine(*(FakeLog(log.address, log.topics, log.data) for log in logs))
    for gateway, last in ((market.gateway, head), (fake, 1)):
        for ids in ([one], [two], [one, two]):
            for wanted in ([words[number] for number in ids], words[ids[0]]):
                topics = [topic, wanted, None]
                found = gateway.logs_in_range([address], first=max(last - 1, 0), last=last, topics=topics)
                assert {log.topics[0] for log in found} == {topic}
                expected = ids if isinstance(wanted, list) else ids[:1]
                assert [int(log.topics[1], 16) for log in found] == expected


def test_real_node_refuses_a_block_that_it_does_not_know(market):
    with pytest.raises(NodeBehind):
        market.gateway.logs_by_hash([market.usd], block_hashes=["0x" + "11" * 32])
    with pytest.raises(NodeBehind):
        market.gateway.call(market.usd, "0x18160ddd", block_hash="0x" + "11" * 32)
    with pytest.raises(NodeBehind):
        market.gateway.logs_in_range([market.usd], first=0, last=10**6)


def test_node_without_a_finalized_tag_is_taken_to_be_final_64_blocks_below_its_head(node):
    head = HEADER | {"number": "0x64"}
    unknown = {"error": {"code": -32602, "message": "invalid argument 0: hex string without 0x prefix"}}
    for finalized in (unknown, None):
        node.reply = lambda method, params, finalized=finalized: finalized if params[0] == "finalized" else head
        assert gateway_to(node).heads().finalized_number == 36


def test_node_that_fails_to_tell_its_final_block_is_not_second_guessed(node):
    broken = {"error": {"code": -32603, "message": "Internal error"}}
    node.reply = lambda method, params: broken if params[0] == "finalized" else HEADER
    with pytest.raises(NodeUnavailable):
        gateway_to(node).heads()


def test_revert_reason_of_megabytes_is_cut(node):
    text = "61" * 1_000_000
    reason = "0x08c379a0" + "20".rjust(64, "0") + hex(1_000_000)[2:].rjust(64, "0") + text
    node.reply = failing(3, "execution reverted: " + "a" * 1_000_000, reason)
    with pytest.raises(Reverted) as caught:
        gateway_to(node).call("0x" + "11" * 20, "0x")
    assert len(str(caught.value)) < 5_000
    assert caught.value.error == "Unknown"
