"""What the apps above read: licences at a block, credit, status."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain import selectors
from chain.bindings import licence_market
from chain.errors import AddressBookMissing, UnknownContract
from chain.gateway.errors import NodeBehind, NodeUnavailable
from chain.gateway.fake import FakeGateway, log_of
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.indexer.run import Indexer, index_to_head
from chain.models import ChainEvent, ParkedLog, Stream

NATIVE = "0x" + "00" * 20


def test_licence_states_are_the_markets_own_words(market):
    model_id, plan_id, licence_id = market.sold_licence(period=3600, calls=7)
    unknown = licence_id + 1
    states = selectors.licence_states([licence_id, unknown, licence_id])
    assert list(states) == [licence_id, unknown]
    state = states[licence_id]
    assert (state.exists, state.is_valid, state.owner) == (True, True, market.buyer)
    assert (state.model_id, state.plan_id, state.calls, state.flags) == (model_id, plan_id, 7, 1)
    block = market.anvil.rpc("eth_getBlockByNumber", "latest", False)
    assert state.expires_at == int(block["timestamp"], 16) + 3600
    assert (state.block_hash, state.block_number) == (block["hash"], int(block["number"], 16))
    assert not states[unknown].exists
    assert not states[unknown].is_valid


def test_licence_that_expired_is_not_valid(market):
    *_, licence_id = market.sold_licence(period=60)
    market.anvil.rpc("evm_increaseTime", 60)
    market.mine()
    state = selectors.licence_states([licence_id])[licence_id]
    assert (state.exists, state.is_valid) == (True, False)


def test_licence_states_at_an_older_block_are_those_of_that_block(market):
    plan_id = market.add_plan(market.publish())
    before = market.gateway.heads().latest
    licence_id = market.buy(plan_id)
    assert not selectors.licence_states([licence_id], block_hash=before.hash)[licence_id].exists
    assert selectors.licence_states([licence_id])[licence_id].exists


def test_licence_states_at_a_block_that_left_the_chain_are_refused(market):
    *_, licence_id = market.sold_licence()
    with pytest.raises(NodeBehind):
        selectors.licence_states([licence_id], block_hash="0x" + "12" * 32)


def test_licence_states_of_no_licence_ask_nobody(settings):
    settings.CHAIN_GATEWAY = FakeGateway(failure=NodeUnavailable("off"))
    assert selectors.licence_states([]) == {}


def test_many_licences_are_asked_in_one_block(market):
    states = selectors.licence_states(range(1, 451))
    assert len(states) == 450
    assert len({state.block_hash for state in states.values()}) == 1


def test_licence_that_vests_says_what_has_vested_and_what_would_come_back(market):
    *_, licence_id = market.sold_licence(period=1000, vesting=1000, entryBps=1000, price=10_000)
    bought_at = market.now
    market.mine_at(bought_at + 250)
    state = selectors.licence_states([licence_id])[licence_id]
    assert (state.amount_units, state.vested_units, state.taken_units, state.refund_units) == (9000, 2250, 0, 6750)
    assert (state.starts_at, state.expires_at, state.settle_at) == (bought_at, bought_at + 1000, 0)
    market.collect(licence_id)
    state = selectors.licence_states([licence_id])[licence_id]
    assert state.taken_units == state.vested_units >= 2250


def test_licence_that_was_cancelled_says_from_when_it_is_settled(market):
    *_, licence_id = market.sold_licence(calls=10, period=1000, vesting=1000)
    market.report_usage({licence_id: 4})
    market.cancel(licence_id)
    state = selectors.licence_states([licence_id])[licence_id]
    assert (state.exists, state.is_valid, state.used, state.base, state.calls) == (True, False, 4, 0, 10)
    assert state.settle_at == market.now + 6 * 3600


def test_licence_of_a_suspended_model_says_so(market):
    model_id, _, licence_id = market.sold_licence()
    market.suspend(model_id)
    state = selectors.licence_states([licence_id])[licence_id]
    assert (state.exists, state.is_valid, state.is_suspended) == (True, False, True)


def test_model_credit_is_what_the_owner_may_withdraw(market):
    model_id, plan_id, _ = market.sold_licence()
    assert selectors.model_credit(model_id, NATIVE) == 0
    market.split(plan_id)
    assert selectors.model_credit(model_id, NATIVE) == 1000
    assert selectors.model_credits([(model_id, NATIVE), (model_id, market.usd)]) == {
        (model_id, NATIVE): 1000,
        (model_id, market.usd): 0,
    }
    market.withdraw(model_id)
    assert selectors.model_credit(model_id, NATIVE) == 0


def test_account_credits_are_the_service_share_and_the_fee(market):
    market.send("LicenceMarket", "setFeeBps", [500], by=market.admin)
    plan_id = market.add_plan(market.publish(), operatorId=market.operator_id, serviceBps=2000)
    market.buy(plan_id)
    market.split(plan_id)
    pairs = [(market.operator_payee, NATIVE), (market.treasury, NATIVE), (market.outsider, market.usd)]
    # The service share is a part of the whole price, not of what the fee leaves.
    assert list(selectors.account_credits(pairs).values()) == [200, 50, 0]
    assert selectors.account_credits([]) == {}


def test_plan_states_are_terms_and_state_without_the_unknown(market):
    model_id, plan_id, _ = market.sold_licence(period=1000, vesting=1000, price=70, flags=1 | 8, supply=3)
    other = market.add_plan(model_id)
    market.send("LicenceMarket", "retirePlan", [other], by=market.publisher)
    found = selectors.plan_states([plan_id, plan_id + 7, other, plan_id])
    assert list(found) == [plan_id, other]
    terms, state = found[plan_id].terms, found[plan_id].state
    assert (terms.model_id, terms.token, terms.price_units, terms.period_s) == (model_id, NATIVE, 70, 1000)
    assert (terms.vesting_s, terms.calls, terms.supply, terms.flags) == (1000, 0, 3, 9)
    assert (state.live, state.sold, state.is_retired) == (1, 1, False)
    assert found[other].state.is_retired
    assert found[other].plan_id == other


def test_model_clocks_stand_while_the_model_is_suspended(market):
    running, standing = market.publish(), market.publish()
    market.suspend(standing)
    suspended_at = market.now
    market.warp(100)
    clocks = selectors.model_clocks([running, standing])
    assert (clocks[running].clock_at, clocks[running].suspended_at) == (market.now, 0)
    assert (clocks[standing].clock_at, clocks[standing].suspended_at) == (suspended_at, suspended_at)
    assert clocks[standing].model_id == standing


def test_operators_are_found_by_id_and_unknown_ones_left_out(market):
    operator_id = market.register_operator(payee=market.buyer)
    market.send("LicenceMarket", "disableOperator", [operator_id], by=market.guardian)
    found = selectors.operators_get([operator_id, operator_id + 1, market.operator_id])
    assert list(found) == [operator_id, market.operator_id]
    assert (found[operator_id].owner, found[operator_id].payee) == (market.outsider, market.buyer)
    assert (found[operator_id].is_disabled, found[market.operator_id].is_disabled) == (True, False)
    assert selectors.operator_get(operator_id) == found[operator_id]
    assert selectors.operator_get(operator_id + 1) is None


def test_site_operator_is_the_setting_or_what_the_demo_registered(market, settings):
    assert selectors.site_operator_id() == market.operator_id > 0
    settings.SITE_OPERATOR_ID = 7
    assert selectors.site_operator_id() == 7
    settings.SITE_OPERATOR_ID, settings.DEMO = 0, False
    assert selectors.site_operator_id() == 0


def test_market_settings_are_the_roles_as_they_are_now(market):
    market.send("LicenceMarket", "setFeeBps", [30], by=market.admin)
    market.send("LicenceMarket", "setPaused", [True], by=market.pauser)
    found = selectors.market_settings()
    assert (found.fee_bps, found.is_paused, found.admin) == (30, True, market.admin)
    assert (found.treasury, found.guardian, found.pauser) == (market.treasury, market.guardian, market.pauser)


def test_latest_header_has_the_time_that_the_contracts_call_now(market):
    timestamp = market.warp(50)
    assert selectors.latest_header().timestamp == timestamp


@pytest.mark.parametrize(
    "ask",
    [
        lambda: selectors.plan_states([1]),
        lambda: selectors.model_clocks([1]),
        lambda: selectors.operators_get([1]),
        lambda: selectors.account_credits([(NATIVE, NATIVE)]),
        selectors.market_settings,
        lambda: selectors.licence_states([1, 2]),
        lambda: selectors.model_credit(1, NATIVE),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x01",
        b"\xff" * 31,
        b"\xff" * 4096,
        (32).to_bytes(32) + (2**200).to_bytes(32),
        (32).to_bytes(32) + (2**31).to_bytes(32) + bytes(96),
        (2**255).to_bytes(32) + bytes(640),
    ],
    ids=["nothing", "a-byte", "short", "all-ones", "endless", "too-many", "far-pointer"],
)
def test_node_that_lies_about_what_a_view_returned_is_named_as_broken(market, monkeypatch, ask, answer):
    monkeypatch.setattr(JsonRpcGateway, "call", lambda *args, **kwargs: answer)
    monkeypatch.setattr(JsonRpcGateway, "call_many", lambda self, calls, block_hash=None: [answer] * len(calls))
    with pytest.raises(NodeUnavailable, match=r"interface does not describe|states of"):
        ask()


def test_node_that_answers_fewer_licences_than_were_asked_for_is_named_as_broken(market, monkeypatch):
    *_, licence_id = market.sold_licence()
    one = market.gateway.call(*_asked(licence_id))
    monkeypatch.setattr(JsonRpcGateway, "call_many", lambda self, calls, block_hash=None: [one] * len(calls))
    assert selectors.licence_states([licence_id])[licence_id].exists
    with pytest.raises(NodeUnavailable, match="1 states of 2"):
        selectors.licence_states([licence_id, licence_id + 1])


def _asked(licence_id: int) -> tuple[str, str]:
    view = licence_market().licence_states([licence_id])
    return view.to, view.data


def test_contract_addresses_come_from_the_book(market, settings, tmp_path):
    assert selectors.contract_address("LicenceMarket") == market.book.contract("LicenceMarket").address
    assert any(item.get("name") == "buy" for item in selectors.contract_abi("LicenceMarket"))
    with pytest.raises(UnknownContract):
        selectors.contract_address("Casino")
    settings.ADDRESS_BOOK_DIR = tmp_path
    with pytest.raises(AddressBookMissing, match="deploy_contracts"):
        selectors.contract_address("LicenceMarket")


@pytest.mark.django_db
class TestStatus:
    def test_status_before_the_first_block_says_what_to_start(self):
        status = selectors.chain_status()
        assert (status.ok, status.error_code) == (False, "chain.not_indexed")

    def test_status_after_indexing_is_ok_without_lag(self, market):
        market.index()
        status = selectors.chain_status()
        assert status.ok
        assert (status.lag, status.head) == (0, int(market.anvil.rpc("eth_blockNumber"), 16))

    def test_status_needs_no_node(self, market, settings):
        market.index()
        settings.CHAIN_GATEWAY = FakeGateway(failure=NodeUnavailable("off"))
        assert selectors.chain_status().ok

    def test_status_of_a_silent_indexer_is_not_ok(self, market):
        market.index()
        Stream.objects.update(seen_at=timezone.now() - timedelta(minutes=2))
        status = selectors.chain_status()
        assert (status.ok, status.error_code) == (False, "chain.indexer_silent")

    def test_status_far_behind_is_not_ok_and_counts_blocks(self, market):
        market.index()
        Stream.objects.update(head_block=Stream.objects.get().next_block + 9)
        status = selectors.chain_status()
        assert (status.ok, status.lag) == (False, 10)


@pytest.mark.django_db
def test_events_are_listed_oldest_first_and_by_transaction(market):
    market.sold_licence()
    market.sold_licence(b"\x02" * 32)
    market.index()
    sales = list(selectors.event_list(contract="LicenceMarket", name="LicenceBought"))
    assert [event.pk for event in sales] == sorted(event.pk for event in sales)
    assert list(selectors.event_list(name="LicenceBought", tx_hash=sales[1].tx_hash.upper().replace("0X", "0x"))) == [
        sales[1]
    ]
    assert list(selectors.event_list(name="LicenceBought", after_id=sales[0].pk)) == [sales[1]]


@pytest.mark.django_db
def test_chain_in_memory_is_indexed_like_a_real_one_also_over_a_reorg(market):
    fake = FakeGateway()
    address = market.book.contract("LicenceMarket").address
    args = {
        "licenceId": 1,
        "planId": 1,
        "holder": market.buyer,
        "payer": market.buyer,
        "price": 5,
        "entry": 5,
        "expiry": 0,
        "calls": 0,
    }
    for _ in range(market.book.deployed_at_block + 100):
        fake.mine()
    fake.mine(log_of("LicenceMarket", "LicenceBought", address=address, args=args))
    indexer = Indexer(gateway=fake, book=market.book, development=True)
    index_to_head(indexer)
    assert ChainEvent.objects.get().args["holder"] == market.buyer
    fake.rollback(1)
    fake.mine(log_of("LicenceMarket", "LicenceBought", address=address, args=args | {"holder": market.outsider}))
    index_to_head(indexer)
    assert ChainEvent.objects.get().args["holder"] == market.outsider
    assert not ParkedLog.objects.exists()
