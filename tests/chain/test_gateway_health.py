"""Which endpoint is asked: the rules as such with a clock in hand, and real servers that come and go."""

from datetime import UTC, datetime
from typing import Any

import pytest

from chain.gateway.errors import (
    NodeBehind,
    NodeUnavailable,
    RangeTooLarge,
    RateLimited,
    Reverted,
    WrongChain,
)
from chain.gateway.fake import FakeGateway
from chain.gateway.health import (
    BACKOFF_MAX_S,
    LAG_AGE_S,
    LAG_BLOCKS,
    PROBE_AFTER_S,
    STEADY_S,
    HealthBook,
)
from chain.gateway.protocol import Header
from tests.chain.nodes import Node, block_of, failing, gateway_to

DOWN = NodeUnavailable("down")
WALL = 1_700_000_000.0


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def book_of(clock: Clock, count: int = 2) -> HealthBook:
    return HealthBook(count, clock=clock, wall_clock=clock.wall)


def head(number: int, *, age_s: float = 0.0, clock: Clock) -> Header:
    return Header(number, f"0x{number:064x}", "0x", int(clock.wall() - age_s))


def wait_until_probed(gateway: Any) -> None:
    """Until the probe that the last call started has ended."""
    prober = gateway._pool._prober
    if prober is not None:
        prober[1].join(10)
        assert not prober[1].is_alive()


def test_endpoints_are_asked_in_the_order_of_the_settings_until_one_fails(clock):
    book = book_of(clock, 3)
    assert book.order(newest=True) == [0, 1, 2]
    book.failed(0, DOWN)
    assert book.order(newest=True) == [1, 2]


def test_endpoint_whose_wait_is_over_comes_after_the_healthy_ones_until_it_answers(clock):
    book = book_of(clock)
    book.failed(0, DOWN)
    clock.now += 1
    assert book.order(newest=True) == [1, 0]
    book.answered(0)
    assert book.order(newest=True) == [0, 1]


def test_waits_double_up_to_a_cap(clock):
    book = book_of(clock)
    book.answered(1)
    waits = []
    for _ in range(12):
        book.failed(0, DOWN)
        started = clock.now
        while book.probe_due(asked=1) is None:
            clock.now += 0.5
            book.answered(1)
        waits.append(clock.now - started)
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == waits[-1] == BACKOFF_MAX_S


def test_endpoint_that_fails_again_soon_after_it_recovered_waits_longer_than_before(clock):
    book = book_of(clock)
    for expected in (1, 2, 4):
        book.failed(0, DOWN)
        clock.now += expected - 0.1
        assert book.order(newest=True) == [1]
        clock.now += 0.1
        assert book.order(newest=True) == [1, 0]
        book.answered(0)
    clock.now += STEADY_S + 1
    book.answered(0)
    book.failed(0, DOWN)
    clock.now += 1
    assert book.order(newest=True) == [1, 0], "it held for a while, so that the shortest wait comes again"


def test_rate_limit_is_obeyed_for_as_long_as_the_node_asked(clock):
    book = book_of(clock)
    book.failed(0, RateLimited("slow", retry_after=40))
    clock.now += 39.9
    assert book.order(newest=True) == [1]
    assert book.report()[0].state == "limited"
    clock.now += 0.1
    assert book.order(newest=True) == [1, 0]


def test_where_no_endpoint_is_usable_the_one_that_is_due_first_is_asked(clock):
    book = book_of(clock, 3)
    book.failed(0, RateLimited("slow", retry_after=40))
    book.failed(1, RateLimited("slow", retry_after=20))
    book.failed(2, RateLimited("slow", retry_after=30))
    assert book.order(newest=True) == [1]


def test_endpoint_that_lags_is_asked_last_for_the_newest_state_and_in_its_turn_for_the_rest(clock):
    book = book_of(clock)
    book.answered(1, head=head(100 + LAG_BLOCKS, clock=clock))
    book.answered(0, head=head(100, age_s=LAG_AGE_S + 1, clock=clock))
    assert book.order(newest=True) == [0, 1], "so many blocks behind are allowed"
    book.answered(0, head=head(99, age_s=LAG_AGE_S + 1, clock=clock))
    assert book.order(newest=True) == [1, 0]
    assert book.order(newest=False) == [0, 1]
    assert [(item.state, item.lag) for item in book.report()] == [("lagging", LAG_BLOCKS + 1), ("healthy", 0)]
    book.answered(0, head=head(102, clock=clock))
    assert book.order(newest=True) == [0, 1]


def test_fallback_that_invents_a_head_draws_no_calls_away_from_a_node_that_follows_the_chain(clock):
    book = book_of(clock)
    book.answered(1, head=head(10**9, clock=clock))
    book.answered(0, head=head(100, age_s=LAG_AGE_S - 1, clock=clock))
    assert book.order(newest=True) == [0, 1]


def test_head_that_was_seen_long_ago_is_no_lag(clock):
    book = book_of(clock)
    book.answered(0, head=head(100, clock=clock))
    clock.now += 3600
    book.answered(1, head=head(400, clock=clock))
    assert book.order(newest=True) == [0, 1]


def test_head_of_an_endpoint_that_failed_counts_for_no_lag(clock):
    book = book_of(clock)
    book.answered(1, head=head(500, clock=clock))
    book.failed(1, DOWN)
    book.answered(0, head=head(100, age_s=60, clock=clock))
    assert book.report()[0].lag == 0


def test_head_may_fall_when_a_development_chain_is_reset(clock):
    book = book_of(clock)
    book.answered(0, head=head(500, clock=clock))
    book.answered(0, head=head(3, age_s=60, clock=clock))
    assert book.report()[0].head == 3
    assert book.order(newest=True) == [0, 1]


def test_endpoint_that_nobody_asked_for_a_while_is_probed_but_not_the_one_that_is_asked_anyway(clock):
    book = book_of(clock)
    assert book.probe_due(asked=0) == 1
    book.answered(1)
    assert book.probe_due(asked=0) is None
    clock.now += PROBE_AFTER_S
    assert book.probe_due(asked=0) == 1
    assert book_of(clock, 1).probe_due(asked=0) is None


def test_report_tells_what_happened_and_keeps_the_last_error(clock):
    book = book_of(clock)
    assert [(item.name, item.state) for item in book.report()] == [("endpoint 1", "unknown"), ("endpoint 2", "unknown")]
    book.failed(0, DOWN)
    book.failed(0, DOWN)
    (first, _) = book.report()
    assert (first.state, first.failures, first.last_error_code, first.answered_at) == (
        "failing",
        2,
        "chain.node_unavailable",
        None,
    )
    book.answered(0, head=head(7, clock=clock))
    (first, _) = book.report()
    assert (first.state, first.failures, first.head, first.last_error_code) == (
        "healthy",
        0,
        7,
        "chain.node_unavailable",
    )
    assert first.answered_at == datetime.fromtimestamp(clock.wall(), tz=UTC)
    book.failed(0, WrongChain("another", expected=1, actual=2))
    assert book.report()[0].state == "wrong_chain"


# Against servers.


def good(node: Node, number: int = 100, *, timestamp: int = 6) -> None:
    node.raw, node.status = None, 200
    node.reply = lambda method, params: block_of(number, timestamp=timestamp) if "Block" in method else "0x7"


def bad(node: Node) -> None:
    node.raw, node.status = b"bad gateway", 502


def test_second_endpoint_serves_while_the_first_is_down_and_hands_back_when_it_answers_a_probe(make_node, clock):
    first, second = make_node(), make_node()
    good(second)
    bad(first)
    gateway = gateway_to(first, second, health=book_of(clock))
    assert gateway.heads().latest.number == 100
    wait_until_probed(gateway)
    asked = first.posts
    for _ in range(5):
        gateway.heads()
    assert first.posts == asked, "its wait is not over"
    good(first, 101)
    clock.now += 1
    assert gateway.heads().latest.number == 100, "nobody waits for the probe"
    wait_until_probed(gateway)
    served = second.posts
    assert gateway.heads().latest.number == 101
    assert second.posts == served
    assert [item.state for item in gateway.endpoint_health()] == ["healthy", "healthy"]


def test_endpoint_that_flaps_is_not_tried_at_every_call(make_node, clock):
    first, second = make_node(), make_node()
    good(second)
    gateway = gateway_to(first, second, health=book_of(clock))
    failures = 0
    for _ in range(40):
        good(first)
        clock.now += 1
        gateway.heads()
        wait_until_probed(gateway)
        bad(first)
        before = first.posts
        gateway.heads()
        failures += first.posts > before
        wait_until_probed(gateway)
    assert 3 <= failures <= 8


def test_probe_of_an_endpoint_that_serves_another_chain_does_not_take_it_back(make_node, clock):
    first, second = make_node(), make_node()
    good(second)
    bad(first)
    gateway = gateway_to(first, second, health=book_of(clock))
    gateway.heads()
    wait_until_probed(gateway)
    good(first, 500)
    first.chain_id = 1
    clock.now += 1
    gateway.heads()
    wait_until_probed(gateway)
    assert gateway.heads().latest.number == 100
    assert gateway.endpoint_health()[0].state == "wrong_chain"


def test_endpoint_that_stands_still_is_left_for_the_newest_state_once_the_other_is_known_to_be_ahead(make_node, clock):
    stuck, fresh = make_node(), make_node()
    good(stuck, 100, timestamp=int(clock.wall()) - 60)
    good(fresh, 150, timestamp=int(clock.wall()))
    gateway = gateway_to(stuck, fresh, health=book_of(clock))
    gateway.heads()
    wait_until_probed(gateway)
    gateway.heads()
    assert gateway.heads().latest.number == 150
    assert [(item.state, item.lag) for item in gateway.endpoint_health()] == [("lagging", 50), ("healthy", 0)]
    good(stuck, 151, timestamp=int(clock.wall()))
    clock.now += PROBE_AFTER_S
    gateway.heads()
    wait_until_probed(gateway)
    assert gateway.heads().latest.number == 151


def test_malformed_answer_makes_the_next_endpoint_be_asked(make_node):
    first, second = make_node(), make_node()
    first.reply = lambda method, params: block_of(5) | {"hash": "0x12"}
    good(second)
    gateway = gateway_to(first, second)
    assert gateway.header_at(None).number == 100
    assert gateway.endpoint_health()[0].last_error_code == "chain.node_unavailable"


@pytest.mark.parametrize(
    ("reply", "raised"),
    [
        (failing(3, "execution reverted", "0xdeadbeef"), Reverted),
        (failing(-32005, "query returned more than 10000 results"), RangeTooLarge),
    ],
)
def test_answer_that_refuses_is_raised_at_once_and_no_failure_of_the_endpoint(make_node, reply, raised):
    first, second = make_node(), make_node()
    gateway = gateway_to(first, second)
    gateway.request("eth_chainId", [])
    wait_until_probed(gateway)
    asked = second.posts
    first.reply = reply
    with pytest.raises(raised):
        gateway.request("eth_getLogs" if raised is RangeTooLarge else "eth_call", [])
    assert second.posts == asked
    assert gateway.endpoint_health()[0].state == "healthy"


def test_block_that_one_endpoint_lacks_is_asked_of_the_next_without_blame(make_node):
    first, second = make_node(), make_node()
    first.reply = failing(-32000, "header not found")
    second.reply = lambda method, params: "0x1234"
    gateway = gateway_to(first, second)
    assert gateway.call("0x" + "11" * 20, "0x", block_hash="0x" + "22" * 32) == b"\x12\x34"
    assert gateway.endpoint_health()[0].state == "healthy"


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [
        (failing(429, "slow down, retry in 9s"), failing(-32603, "internal error"), RateLimited),
        (failing(-32603, "internal error"), failing(429, "slow down, retry in 9s"), RateLimited),
        (failing(-32000, "header not found"), failing(-32603, "internal error"), NodeBehind),
        (failing(-32603, "internal error"), failing(-32000, "header not found"), NodeBehind),
        (failing(-32603, "internal error"), failing(-32603, "internal error"), NodeUnavailable),
    ],
)
def test_where_all_fail_the_most_telling_error_is_raised(make_node, first, second, raised):
    nodes = make_node(), make_node()
    nodes[0].reply, nodes[1].reply = first, second
    with pytest.raises(raised):
        gateway_to(*nodes).request("eth_call", [])


def test_every_endpoint_is_asked_once_in_a_call_at_most(make_node, clock):
    nodes = [make_node() for _ in range(3)]
    gateway = gateway_to(*nodes, health=book_of(clock, 3))
    for node in nodes:
        node.reply = failing(-32603, "internal error")
    with pytest.raises(NodeUnavailable):
        gateway.request("eth_gasPrice", [])
    assert [node.calls.count("eth_gasPrice") for node in nodes] == [1, 1, 1]


def test_health_names_no_address_and_no_key(node):
    gateway = gateway_to(node)
    bad(node)
    with pytest.raises(NodeUnavailable):
        gateway.heads()
    assert "SECRET" not in repr(gateway.endpoint_health())
    assert "127.0.0.1" not in repr(gateway.endpoint_health())


def test_chain_in_memory_reports_its_one_endpoint():
    fake = FakeGateway()
    fake.mine()
    (healthy,) = fake.endpoint_health()
    assert (healthy.state, healthy.head, healthy.lag) == ("healthy", 1, 0)
    fake.failure = NodeUnavailable("gone")
    (failing_one,) = fake.endpoint_health()
    assert (failing_one.state, failing_one.last_error_code) == ("failing", "chain.node_unavailable")
