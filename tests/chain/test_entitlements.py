"""Entitlements on a real chain and a real broker: what is asked of the node, how old it may be, what breaks."""

import pickle
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chain import entitlements, selectors
from chain.entitlements import cache, shared
from chain.entitlements.joining import Joined
from chain.errors import EncodingError
from chain.gateway.errors import NodeBehind, NodeUnavailable
from chain.gateway.fake import FakeGateway
from chain.gateway.jsonrpc import JsonRpcGateway
from tests.fixtures.contracts import RUN, TRANSFERABLE
from tests.fixtures.processes import ROOT, child_environment, start_process

# Longer than any test: what is remembered stays, unless the test says otherwise.
LONG_S = 60
AGE_S = 0.25
HEAD, CALL, LOGS = "eth_getBlockByNumber", "eth_call", "eth_getLogs"


@pytest.fixture
def node(counted_node, clean_broker, market, settings, monkeypatch):
    settings.HEAD_MAX_AGE_S = LONG_S
    # A machine may stand still for longer than one process waits for another.
    monkeypatch.setattr(shared, "WAIT_S", LONG_S)
    monkeypatch.setattr(cache, "ASKING_MS", LONG_S * 1000)
    return counted_node


@pytest.fixture
def redis(clean_broker):
    with clean_broker.client() as client:
        yield client


def keys_of(redis, ending: str) -> list[bytes]:
    return [key for key in redis.keys("weighhouse:entitlements:*") if key.decode().endswith(ending)]


def asked(node) -> tuple[int, int]:
    return node.counts[HEAD], node.counts[CALL]


def forget_heads(redis) -> None:
    redis.delete(*keys_of(redis, ":head"))


def test_states_are_those_that_the_market_itself_gives(node, market):
    *_, licence_id = market.sold_licence(period=3600, calls=7, vesting=3600)
    expected = selectors.licence_states([licence_id, 2**256 - 1])
    for _ in ("asked", "remembered"):
        assert entitlements.licence_states([licence_id, 2**256 - 1, licence_id]) == expected


def test_second_question_about_a_block_asks_the_node_nothing(node, market):
    *_, licence_id = market.sold_licence()
    entitlements.licence_states([licence_id])
    assert asked(node) == (1, 1)
    entitlements.licence_states([licence_id])
    assert asked(node) == (1, 1)


def test_missing_licences_are_asked_in_one_call_and_the_known_ones_not_again(node, market):
    *_, licence_id = market.sold_licence()
    entitlements.licence_states([licence_id])
    states = entitlements.licence_states([*range(199), licence_id])
    assert (len(states), asked(node)) == (200, (1, 2))
    assert states[licence_id].exists and not states[5].exists
    entitlements.licence_states(range(199))
    assert asked(node) == (1, 2)


def test_more_licences_than_fit_one_call_are_one_request(node, market):
    seen = []
    node.before = lambda calls: seen.append([call["method"] for call in calls])
    assert len(entitlements.licence_states(range(450))) == 450
    assert [CALL] * 3 in seen


def test_new_block_is_asked_about_once_it_is_known(node, market, redis):
    *_, licence_id = market.sold_licence(flags=RUN | TRANSFERABLE)
    assert entitlements.licence_states([licence_id])[licence_id].owner == market.buyer
    market.send("LicenceMarket", "transferFrom", [market.buyer, market.outsider, licence_id], by=market.buyer)
    assert entitlements.licence_states([licence_id])[licence_id].owner == market.buyer, "the head is remembered"
    forget_heads(redis)
    assert entitlements.licence_states([licence_id])[licence_id].owner == market.outsider


def test_head_is_forgotten_by_the_broker_after_its_time(node, market, redis, settings):
    settings.HEAD_MAX_AGE_S = 2
    entitlements.entitlement_block()
    (key,) = keys_of(redis, ":head")
    assert 0 < redis.pttl(key) <= 2000


def test_head_that_came_late_is_remembered_only_for_the_rest_of_its_time(node, market, redis, settings):
    settings.HEAD_MAX_AGE_S = 0.2
    node.before = lambda _calls: time.sleep(0.25)
    assert entitlements.entitlement_block().number == market.gateway.header_at(None).number
    assert keys_of(redis, ":head") == [] or redis.get(keys_of(redis, ":head")[0]) == cache.ASKING


def test_licence_that_is_cancelled_is_invalid_for_whoever_asks_after_the_age(node, market, settings):
    settings.HEAD_MAX_AGE_S = AGE_S
    *_, licence_id = market.sold_licence()
    assert entitlements.licence_states([licence_id])[licence_id].is_valid
    market.cancel(licence_id)
    time.sleep(AGE_S)
    assert not entitlements.licence_states([licence_id])[licence_id].is_valid


@pytest.mark.parametrize("end", ["expired", "suspended", "cancelled"])
def test_licence_that_ended_is_invalid_at_the_next_block(node, market, redis, end):
    model_id, _, licence_id = market.sold_licence(period=600)
    assert entitlements.licence_states([licence_id])[licence_id].is_valid
    if end == "expired":
        market.warp(600)
    elif end == "suspended":
        market.suspend(model_id)
    else:
        market.cancel(licence_id)
    forget_heads(redis)
    assert not entitlements.licence_states([licence_id])[licence_id].is_valid


def test_block_that_the_index_has_is_not_preceded_by_a_remembered_one(node, market):
    old = entitlements.entitlement_block()
    market.mine()
    new = market.gateway.header_at(None)
    assert entitlements.entitlement_block().hash == old.hash
    assert entitlements.entitlement_block(not_before=new.number) == new
    assert entitlements.entitlement_block().hash == new.hash, "and everybody knows it now"
    assert entitlements.entitlement_block(not_before=new.number + 9) == new, "a node that is shorter is believed"


def test_age_of_zero_asks_for_the_head_each_time(node, market, settings, redis):
    settings.HEAD_MAX_AGE_S = 0
    *_, licence_id = market.sold_licence()
    for _ in range(3):
        entitlements.licence_states([licence_id])
    assert asked(node) == (3, 1)
    assert keys_of(redis, ":head") == []


def test_reorg_between_head_and_call_is_answered_at_the_new_head(node, market):
    _, plan_id, licence_id = market.sold_licence()
    remembered = entitlements.entitlement_block()
    market.anvil.rpc("anvil_rollback", 1)
    assert market.buy(plan_id, by=market.outsider) == licence_id
    block, states = entitlements.licence_states_now([licence_id])
    assert (block.number, states[licence_id].owner) == (remembered.number, market.outsider)
    assert block.hash != remembered.hash
    assert entitlements.entitlement_block().hash == block.hash


def test_reorg_that_takes_every_head_away_is_named(node, market):
    node.refuse(CALL, "header not found")
    with pytest.raises(NodeBehind):
        entitlements.licence_states([1])
    assert node.counts[HEAD] == 2


def test_licence_that_a_reorg_took_is_gone_at_the_next_question(node, market, redis):
    *_, licence_id = market.sold_licence()
    assert entitlements.licence_states([licence_id])[licence_id].is_valid
    market.anvil.rpc("anvil_reorg", 1, [])
    forget_heads(redis)
    assert not entitlements.licence_states([licence_id])[licence_id].exists


def test_two_holders_are_told_of_their_own_licences(node, market):
    _, plan_id, first = market.sold_licence()
    second = market.buy(plan_id, by=market.outsider)
    states = {**entitlements.licence_states([first]), **entitlements.licence_states([second])}
    assert [state.owner for state in states.values()] == [market.buyer, market.outsider]


def test_number_that_is_no_token_id_is_refused_and_asks_nothing(node, market):
    for wrong in (-1, 2**256):
        with pytest.raises(EncodingError):
            entitlements.licence_states([1, wrong])
    assert node.counts[CALL] == 0


def test_no_licences_ask_nobody(node):
    assert entitlements.licence_states([]) == {}
    assert sum(node.counts.values()) == 0


def test_threads_that_ask_about_one_licence_cost_one_head_and_one_call(node, market):
    *_, licence_id = market.sold_licence()
    together = threading.Barrier(24)

    def ask(_: int) -> bool:
        together.wait()
        return entitlements.licence_states([licence_id])[licence_id].is_valid

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(ask, range(24)))
    assert asked(node) == (1, 1)


CHILD = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import django
django.setup()
from chain import entitlements
from chain.entitlements import cache, shared
shared.WAIT_S, cache.ASKING_MS, cache.TIMEOUT_S = 60, 60_000, 30
ids, go = list(range(int(sys.argv[1]), int(sys.argv[1]) + 200)), Path(sys.argv[2])
print("ready")
while not go.exists():
    time.sleep(0.001)
with ThreadPoolExecutor(8) as threads:
    found = list(threads.map(lambda _: entitlements.licence_states(ids), range(8)))
print("valid", sum(state.is_valid for states in found for state in states.values()))
"""


def test_two_processes_that_ask_about_200_licences_cost_one_head_and_one_call(node, market, tmp_path):
    *_, licence_id = market.sold_licence()
    env, go = child_environment(WEIGHHOUSE_RPC_URL=node.url, WEIGHHOUSE_HEAD_MAX_AGE_S=str(LONG_S)), tmp_path / "go"
    argv = [str(ROOT / ".venv" / "bin" / "python"), "-c", CHILD, str(licence_id - 100), str(go)]
    children = [start_process(f"asks-{n}", argv, directory=tmp_path, env=env) for n in range(2)]
    try:
        for child in children:
            child.wait_for_output("ready")
        node.forget()
        go.touch()
        for child in children:
            assert child.process.wait(60) == 0, child.output()
            assert "valid 8\n" in child.output()
    finally:
        for child in children:
            child.stop()
    assert asked(node) == (1, 1)


def test_process_that_died_while_asking_holds_up_nobody_for_long(node, market, redis, monkeypatch):
    *_, licence_id = market.sold_licence()
    block = entitlements.entitlement_block()
    entitlements.licence_states([licence_id], block=block)
    (key,) = keys_of(redis, f":licence:{licence_id}")
    redis.set(key, cache.ASKING)
    monkeypatch.setattr(shared, "WAIT_S", 0.05)
    assert entitlements.licence_states([licence_id], block=block)[licence_id].is_valid
    assert redis.get(key) not in {None, cache.ASKING}


def test_process_that_failed_leaves_no_mark(node, market, redis):
    node.refuse(CALL, "upstream timed out")
    with pytest.raises(NodeUnavailable):
        entitlements.licence_states([1, 2])
    assert [key for key in redis.scan_iter() if redis.get(key) == cache.ASKING] == []
    node.refuse(HEAD, "upstream timed out")
    forget_heads(redis)
    with pytest.raises(NodeUnavailable):
        entitlements.licence_states([1, 2])
    assert [key for key in redis.scan_iter() if redis.get(key) == cache.ASKING] == []


@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_dead_node_is_an_error_and_no_refusal_about_what_nobody_asked(node, market, redis, settings, kind):
    *_, licence_id = market.sold_licence()
    entitlements.licence_states([licence_id])
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    if kind == "known":
        forget_heads(redis)
    with pytest.raises(NodeUnavailable):
        entitlements.licence_states([licence_id if kind == "known" else 1])


def test_broker_that_is_away_leaves_the_node_to_be_asked(node, market, settings):
    settings.BROKER_URL = "redis://127.0.0.1:9/0"
    *_, licence_id = market.sold_licence()
    for expected in ((1, 1), (2, 2)):
        assert entitlements.licence_states([licence_id])[licence_id].is_valid
        assert asked(node) == expected
    market.cancel(licence_id)
    assert not entitlements.licence_states([licence_id])[licence_id].is_valid


def test_broker_that_never_answers_is_left_alone_after_the_first_try(node, market, settings, monkeypatch):
    *_, licence_id = market.sold_licence()
    monkeypatch.setattr(cache, "PAUSE_S", LONG_S)
    monkeypatch.setattr(cache, "TIMEOUT_S", 0.25)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.BROKER_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        for _ in range(3):
            assert entitlements.licence_states([licence_id])[licence_id].is_valid
        silent.setblocking(False)
        accepted = _accept_all(silent)
    assert accepted == 1
    assert asked(node) == (3, 3)


def _accept_all(server: socket.socket) -> int:
    for count in range(100):
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError("too many connections")


def test_broker_that_comes_back_is_used_again(node, market, monkeypatch, broker):
    monkeypatch.setattr(cache, "PAUSE_S", 0)
    memory = cache.BrokerCache(broker.url)
    with broker.client() as client:
        memory.write({"one": b"1"}, ttl_ms=1000)
        # What a restarted broker does to connections that lie idle.
        client.client_kill_filter(_type="normal", skipme=True)
        assert memory.read(["one", "two"]) == [b"1", None]


GARBAGE = {
    "empty": b"",
    "binary": b"\xff\x00",
    "list": b"[]",
    "object": b"{}",
    "null": b"null",
    "number": b"1",
    "deep": b"[" * 60_000,
    "long": b'"' + b"a" * 100_000 + b'"',
    "pickle": pickle.dumps({"is_valid": True}),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_nonsense_in_the_broker_is_asked_again_and_replaced(node, market, redis, garbage):
    *_, licence_id = market.sold_licence()
    expected = entitlements.licence_states([licence_id])
    written = {key: redis.get(key) for key in redis.keys("weighhouse:entitlements:*")}
    assert len(written) == 2
    for key in written:
        redis.set(key, garbage)
    assert entitlements.licence_states([licence_id]) == expected
    assert asked(node) == (2, 2)
    assert {key: redis.get(key) for key in written} == written


def test_key_of_another_type_in_the_broker_is_asked_again(node, market, redis):
    *_, licence_id = market.sold_licence()
    expected = entitlements.licence_states([licence_id])
    for key in redis.keys("weighhouse:entitlements:*"):
        redis.delete(key)
        redis.rpush(key, "a", "b")
    assert entitlements.licence_states([licence_id]) == expected


def test_every_field_of_a_remembered_state_is_checked(node, market, redis):
    *_, licence_id = market.sold_licence()
    block, expected = entitlements.licence_states_now([licence_id])
    (key,) = keys_of(redis, f":licence:{licence_id}")
    value = shared.value_load(redis.get(key))
    assert len(value) == 19
    for name, right in value.items():
        for wrong in _wrong_for(right):
            redis.set(key, shared.value_dump(value | {name: wrong}))
            node.forget()
            assert entitlements.licence_states([licence_id], block=block) == expected
            assert node.counts[CALL] == 1, (name, wrong)
        redis.set(key, shared.value_dump({other: kept for other, kept in value.items() if other != name}))
        assert entitlements.licence_states([licence_id], block=block) == expected


def _wrong_for(right):
    if isinstance(right, bool):
        return ["true", 1, None]
    if right.startswith("0x"):
        return [right[:-1], right.upper(), *({right.lower()} - {right}), "", None, 5]
    return ["-1", "01", str(2**256), "1e3", "", " 1", "٣", 1, True, None]


@pytest.mark.parametrize("other", ["licence", "block"])
def test_state_of_another_subject_is_not_taken(node, market, redis, other):
    _, plan_id, licence_id = market.sold_licence()
    mine = market.buy(plan_id, by=market.outsider)
    entitlements.licence_states([licence_id])
    (key,) = keys_of(redis, f":licence:{licence_id}")
    good = redis.get(key)
    if other == "licence":
        redis.set(key.decode().replace(str(licence_id), str(mine)), good)
        assert entitlements.licence_states([mine])[mine].owner == market.outsider
    else:
        market.cancel(licence_id)
        block = entitlements.entitlement_block(fresh=True)
        parts = key.decode().rsplit(":", 3)
        redis.set(":".join([parts[0], block.hash, *parts[2:]]), good)
        assert not entitlements.licence_states([licence_id])[licence_id].is_valid


def test_head_of_a_node_slower_than_its_time_is_shared_with_nobody_and_waited_for_by_nobody(node, redis, settings):
    settings.HEAD_MAX_AGE_S = 0.01
    node.before = lambda _calls: time.sleep(0.05)
    for _ in range(2):
        assert entitlements.entitlement_block().number >= 0
        assert keys_of(redis, ":head") == []


def test_forged_head_that_no_node_knows_is_replaced(node, market, redis):
    *_, licence_id = market.sold_licence()
    entitlements.entitlement_block()
    (key,) = keys_of(redis, ":head")
    forged = shared.value_load(redis.get(key)) | {"hash": "0x" + "12" * 32}
    redis.set(key, shared.value_dump(forged))
    assert entitlements.licence_states([licence_id])[licence_id].is_valid
    assert shared.value_load(redis.get(key))["hash"] == market.gateway.header_at(None).hash


def test_other_contracts_have_other_facts(node, market, redis, settings, tmp_path):
    entitlements.licence_states([1])
    (book,) = Path(settings.ADDRESS_BOOK_DIR).glob("31337.json")
    text = book.read_text()
    (tmp_path / "31337.json").write_text(text.replace(market.usd, market.book.contract("ReceiptAnchor").address))
    settings.ADDRESS_BOOK_DIR = tmp_path
    entitlements.licence_states([1])
    assert asked(node) == (2, 2)


def test_chain_in_memory_is_shared_with_nobody(node, market, redis, settings):
    settings.CHAIN_GATEWAY = FakeGateway()
    assert entitlements.entitlement_block().hash == settings.CHAIN_GATEWAY.header_at(None).hash
    assert redis.keys() == []


def test_market_settings_of_a_block_are_asked_once(node, market):
    block = entitlements.entitlement_block()
    node.forget()
    expected = selectors.market_settings()
    calls = node.counts[CALL]
    for _ in range(3):
        assert entitlements.market_settings(block) == expected
    assert node.counts[CALL] == 2 * calls


def test_clocks_of_models_are_asked_once_per_block_and_stand_once_they_are_suspended(node, market, redis):
    model_id, *_ = market.sold_licence()
    block, clocks = entitlements.model_clocks_now([model_id])
    assert entitlements.model_clocks_now([model_id])[1] == clocks
    assert asked(node) == (1, 1)
    assert clocks == selectors.model_clocks([model_id], block_hash=block.hash)
    market.suspend(model_id)
    forget_heads(redis)
    after, clocks = entitlements.model_clocks_now([model_id])
    assert after.number > block.number and clocks[model_id].suspended_at == after.timestamp
    redis.set(*_as_another(keys_of(redis, f"clock:{model_id}")[0], redis))
    assert entitlements.model_clocks_now([model_id])[1] == clocks


def _as_another(key: bytes, redis) -> tuple[bytes, bytes]:
    """A remembered clock that says to be another model's."""
    return key, redis.get(key).replace(b'"model_id":"', b'"model_id":"9')


def test_canonical_hashes_leave_out_what_is_above_the_head(node, market):
    block = entitlements.entitlement_block()
    node.forget()
    for _ in range(2):
        assert entitlements.canonical_hashes([block.number, block.number + 5], block) == {block.number: block.hash}
    assert node.counts[HEAD] == 2


def test_licences_received_are_found_in_logs_once_per_block(node, market):
    _, plan_id, first = market.sold_licence(flags=RUN | TRANSFERABLE)
    second = market.buy(plan_id)
    market.buy(plan_id, by=market.outsider)
    market.send("LicenceMarket", "transferFrom", [market.buyer, market.outsider, first], by=market.buyer)
    block = entitlements.entitlement_block()
    for _ in range(2):
        found = entitlements.licences_received(market.buyer.lower(), block=block, indexed_to=block.number)
        assert found == [second, first]
    assert node.counts[LOGS] == 1
    assert entitlements.licences_received(market.treasury, block=block, indexed_to=block.number) == []


def test_logs_are_searched_from_below_the_index_and_not_without_end(node, market, monkeypatch):
    monkeypatch.setattr("chain.entitlements.logs.RECENT_BLOCKS", 3)
    monkeypatch.setattr("chain.entitlements.logs.SEARCH_BLOCKS", 12)
    *_, licence_id = market.sold_licence()
    bought_at = market.gateway.header_at(None).number
    market.mine(10)
    block = entitlements.entitlement_block()
    found = [
        entitlements.licences_received(market.buyer, block=block, indexed_to=indexed_to)
        for indexed_to in (bought_at, bought_at + 2, bought_at + 3)
    ]
    assert found == [[licence_id], [licence_id], []]
    market.mine(2)
    block = entitlements.entitlement_block(fresh=True)
    assert entitlements.licences_received(market.buyer, block=block, indexed_to=0) == []


def test_node_that_finds_the_range_too_large_is_asked_for_less(node, market):
    *_, licence_id = market.sold_licence()
    market.mine(60)
    node.before = _only_blocks(10)
    block = entitlements.entitlement_block()
    assert entitlements.licences_received(market.buyer, block=block, indexed_to=block.number) == [licence_id]
    assert 7 <= node.counts[LOGS] <= 12


def test_node_that_answers_no_logs_at_all_ends_the_search(node, market):
    market.sold_licence()
    node.before = _only_blocks(0)
    block = entitlements.entitlement_block()
    assert entitlements.licences_received(market.buyer, block=block, indexed_to=block.number) == []
    assert node.counts[LOGS] == 12


def _only_blocks(most: int):
    def instead(calls):
        criteria = next((call["params"][0] for call in calls if call["method"] == LOGS), None)
        if criteria is None or int(criteria["toBlock"], 16) - int(criteria["fromBlock"], 16) < most:
            return None
        error = {"code": -32600, "message": "block range is too large"}
        return [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]

    return instead


def test_node_that_ignores_topics_proposes_nothing_of_others(node, market, monkeypatch):
    _, plan_id, mine = market.sold_licence()
    market.buy(plan_id, by=market.outsider)
    real = JsonRpcGateway.logs_in_range
    monkeypatch.setattr(
        JsonRpcGateway,
        "logs_in_range",
        lambda self, addresses, *, first, last, topics=(): real(self, addresses, first=first, last=last),
    )
    block = entitlements.entitlement_block()
    assert entitlements.licences_received(market.buyer, block=block, indexed_to=block.number) == [mine]
    assert list(entitlements.purchase_hashes([mine], block=block, indexed_to=block.number)) == [mine]


def test_purchase_is_found_in_logs_however_old(node, market):
    model_id, plan_id, old = market.sold_licence()
    market.mine(200)
    young = market.buy(plan_id)
    block = entitlements.entitlement_block()
    for _ in range(2):
        found = entitlements.purchase_hashes([old, young, model_id << 64], block=block, indexed_to=block.number)
        hashes = {n: market.gateway.receipt(found[n]).block_number for n in found}
        assert hashes == {young: block.number, old: block.number - 201}
    assert node.counts[LOGS] == 2


def test_joined_question_waits_for_the_one_before_and_takes_everybody_along():
    rounds, started, go_on = [], threading.Event(), threading.Event()

    def ask(keys):
        rounds.append(sorted(keys))
        started.set()
        assert go_on.wait(30)
        return {key: key * 10 for key in keys}

    joined = Joined(ask)
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(joined.ask, [0])
        assert started.wait(30)
        others = [threads.submit(joined.ask, [n, n + 1]) for n in range(1, 9)]
        while len(joined._gathering.keys if joined._gathering else ()) < 9:
            time.sleep(0.001)
        go_on.set()
        assert first.result() == {0: 0}
        assert [other.result() for other in others] == [{n: n * 10, n + 1: n * 10 + 10} for n in range(1, 9)]
    assert rounds == [[0], list(range(1, 10))]


def test_joined_question_that_fails_fails_for_its_round_alone():
    answers = iter([NodeUnavailable("off"), {1: 2}])

    def ask(_keys):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    joined = Joined(ask)
    with pytest.raises(NodeUnavailable):
        joined.ask([1])
    assert joined.ask([1]) == {1: 2}
