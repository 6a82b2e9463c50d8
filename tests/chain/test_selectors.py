"""What the apps above read: licences at a block, credit, status."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain import selectors
from chain.errors import AddressBookMissing, UnknownContract
from chain.gateway.errors import NodeBehind, NodeUnavailable
from chain.gateway.fake import FakeGateway, log_of
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


def test_model_credit_is_what_the_owner_may_withdraw(market):
    model_id, *_ = market.sold_licence()
    assert selectors.model_credit(model_id, NATIVE) == 1000
    assert selectors.model_credit(model_id, market.usd) == 0
    market.send("LicenceMarket", "withdraw", [model_id, NATIVE, market.publisher], by=market.publisher)
    assert selectors.model_credit(model_id, NATIVE) == 0


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
