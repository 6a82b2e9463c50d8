"""The indexer's pure parts: forks, links, ranges, waits."""

import pytest

from chain.errors import FinalityViolated
from chain.gateway.errors import NodeBehind, NodeUnavailable, RateLimited
from chain.gateway.protocol import Header
from chain.indexer.headers import Fork, fork_find, linked
from chain.indexer.ranges import LOGS_WANTED, SIZE_MAX, RangeSize
from chain.indexer.retry import WAIT_MAX_S, wait_s


def chain(first: int, last: int, branch: str = "a", parent: str = "a") -> list[Header]:
    """Headers `first`..`last` of `branch`, the first one on top of block `first - 1` of branch `parent`."""
    return [
        Header(number, f"{branch}{number}", f"{parent if number == first else branch}{number - 1}", number)
        for number in range(first, last + 1)
    ]


def canonical(headers: list[Header], upto: int) -> dict[int, Header | None]:
    found: dict[int, Header | None] = dict.fromkeys(range(upto + 1))
    return found | {header.number: header for header in headers}


def test_fork_of_an_unchanged_chain_is_none():
    assert fork_find(chain(1, 9), canonical(chain(1, 9), 9)) is None
    assert fork_find([], {}) is None


@pytest.mark.parametrize("depth", range(1, 9))
def test_fork_is_found_at_every_depth(depth):
    theirs = chain(1, 9 - depth) + chain(10 - depth, 9, "b", "a")
    fork = fork_find(chain(1, 9), canonical(theirs, 9))
    assert fork == Fork(ancestor=chain(1, 9)[8 - depth])


def test_fork_below_the_oldest_header_has_no_ancestor():
    assert fork_find(chain(5, 9), canonical(chain(5, 9, "b"), 9)) == Fork(ancestor=None)


def test_shorter_chain_that_agrees_is_behind_and_a_fork_where_nodes_cannot_lag():
    theirs = canonical(chain(1, 7), 9)
    with pytest.raises(NodeBehind, match="9"):
        fork_find(chain(1, 9), theirs)
    assert fork_find(chain(1, 9), theirs, may_lag=False) == Fork(ancestor=chain(1, 7)[-1])


def test_shorter_chain_that_disagrees_is_a_fork():
    theirs = canonical(chain(1, 5) + chain(6, 7, "b", "a"), 9)
    assert fork_find(chain(1, 9), theirs) == Fork(ancestor=chain(1, 5)[-1])


def test_linked_stops_where_the_branch_changes_and_where_a_block_is_missing():
    headers = chain(5, 7) + chain(8, 9, "b", "b")
    assert linked("a4", headers) == chain(5, 7)
    assert linked("b4", headers) == []
    assert linked(None, chain(5, 9)) == chain(5, 9)
    assert linked("a4", [*chain(5, 6), None, *chain(8, 9)]) == chain(5, 6)


def test_range_is_halved_on_refusal_and_never_grows_back_to_a_refused_length():
    size = RangeSize(blocks=1000)
    assert size.last_block(100, 5000) == 1099
    assert size.last_block(100, 150) == 150
    assert size.shrink(1000)
    assert size.blocks == 500
    for _ in range(10):
        size.adapt(size.blocks, 0)
    assert size.blocks == 999


def test_range_of_one_block_cannot_be_shrunk():
    size = RangeSize(blocks=2)
    assert size.shrink(2)
    assert not size.shrink(1)
    assert size.last_block(5, 9) == 5


def test_range_is_led_to_the_wanted_number_of_logs_and_not_beyond_the_limit():
    size = RangeSize(blocks=1000)
    size.adapt(1000, 10 * LOGS_WANTED)
    assert size.blocks == 100
    size.adapt(100, LOGS_WANTED // 10)
    assert size.blocks == 200, "it doubles at most"
    size.adapt(3, LOGS_WANTED * 1000)
    assert size.blocks == 1
    for _ in range(30):
        size.adapt(size.blocks, 0)
    assert size.blocks == SIZE_MAX


def test_range_cut_short_by_the_head_does_not_get_shorter_for_that():
    size = RangeSize(blocks=1000)
    size.adapt(3, 1)
    assert size.blocks == 2000


def test_waits_double_up_to_a_cap_and_obey_the_node():
    down = NodeUnavailable("x")
    assert [wait_s(down, failures=n, poll_s=0.5) for n in (1, 2, 3)] == [1, 2, 4]
    assert wait_s(down, failures=500, poll_s=0.5) == WAIT_MAX_S
    assert wait_s(NodeBehind("x"), failures=50, poll_s=0.5) == 0.5
    assert wait_s(RateLimited("x", retry_after=90), failures=1, poll_s=0.5) == 90
    assert wait_s(FinalityViolated("x"), failures=1, poll_s=0.5) == WAIT_MAX_S
