"""Every event of the market makes rows that go with it, once, and that a rebuild makes again."""

import pytest
from eth_account import Account
from weighhouse.core.eip712 import deliver_request, market_domain

from chain import abi, handlers
from chain.errors import HandlerFailed
from chain.handlers import IndexedEvent
from chain.indexer.rebuild import index_rebuild
from chain.models import ChainEvent
from marketplace.licences import models
from tests.fixtures.contracts import DOWNLOAD, RENEWABLE, RUN, TRANSFERABLE
from tests.reorg.test_handlers import _decoded_again, _without_keys, table_rows

pytestmark = pytest.mark.django_db
DAY = 24 * 3600
# Events that change settings of the market, which are asked of the chain, and those of its token's approvals.
NOT_KEPT = {
    *("FeeSet", "TreasurySet", "GuardianSet", "PauserSet", "PausedSet", "TokenAllowed"),
    *("OwnershipTransferStarted", "OwnershipTransferred", "Approval", "ApprovalForAll"),
    *("MetadataUpdate", "BatchMetadataUpdate", "EIP712DomainChanged"),
}


def deliver(market, licence_id: int, *, holder: str) -> None:
    domain = market_domain(market.book.chain_id, market.book.contract("LicenceMarket").address)
    deadline = market.now + DAY
    request = deliver_request(domain, licence_id=licence_id, recipient_key="0x" + "ab" * 32, deadline=deadline)
    signed = Account.unsafe_sign_hash(request.digest(), market.keys[holder])
    args = [licence_id, "0x" + "ab" * 32, deadline, signed.signature, "0x" + "cd" * 32]
    market.send("LicenceMarket", "deliver", args, by=market.publisher)


def busy_market(market) -> None:
    parent = market.publish(derivative_bps=100)
    model_id = market.publish(b"\x02" * 32, parents=[(parent, 100)])
    flags = RUN | DOWNLOAD | TRANSFERABLE | RENEWABLE
    terms = {"period": 30 * DAY, "vesting": 30 * DAY, "calls": 9, "flags": flags, "price": 10**9, "serviceBps": 500}
    plan_id = market.add_plan(model_id, **terms)
    unmetered = market.add_plan(model_id, **{**terms, "calls": 0, "serviceBps": 0})
    first, second, third = market.buy(plan_id), market.buy(plan_id), market.buy(unmetered)
    market.warp(DAY)
    market.report_usage({first: 3, third: 1})
    market.collect(first, second)
    market.renew(first)
    market.send("LicenceMarket", "transferFrom", [market.buyer, market.outsider, second], by=market.buyer)
    deliver(market, second, holder=market.outsider)
    market.cancel(third)
    market.cancel(first)
    market.warp(6 * 3600)
    market.settle(first)
    market.split(plan_id)
    market.withdraw(model_id)
    market.withdraw_account(by=market.operator_payee)
    operator_id = market.register_operator()
    market.send("LicenceMarket", "setOperator", [operator_id, market.buyer, market.buyer], by=market.outsider)
    market.send("LicenceMarket", "disableOperator", [operator_id], by=market.guardian)
    market.suspend(model_id)
    market.send("LicenceMarket", "confirmSuspension", [model_id], by=market.admin)
    market.resume(model_id)
    market.send("LicenceMarket", "retirePlan", [plan_id], by=market.publisher)
    market.index()


def test_every_event_of_the_market_has_a_handler_or_a_reason_to_have_none():
    known = {event.name for event in abi.artefact("LicenceMarket").events.values()}
    # The feeds index almost every event; what counts here is the rows of this domain.
    handled = {
        event
        for handler, wanted in handlers._handlers.items()
        for contract, event in wanted
        if contract == "LicenceMarket" and not handler.__module__.startswith("chain.")
    }
    assert known - handled == NOT_KEPT & known
    assert handled <= known


def test_market_events_given_again_change_nothing(market):
    busy_market(market)
    before = table_rows()
    filled = {label for label, rows in before.items() if rows}
    of_market = {
        f"licences.{model.__name__}" for model in models.FromEvent.__subclasses__() if not model._meta.abstract
    }
    of_licences = {f"licences.{model.__name__}" for model in models.OfLicence.__subclasses__()}
    assert (of_market | of_licences) - filled == set()
    handlers.dispatch([IndexedEvent(_decoded_again(market, row), row) for row in ChainEvent.objects.order_by("id")])
    assert table_rows() == before


def test_market_rows_are_rebuilt_the_same_by_a_reindex(market):
    busy_market(market)
    before = _without_keys(table_rows())
    index_rebuild(market.indexer)
    assert _without_keys(table_rows()) == before


def test_market_rows_go_with_their_events(market):
    busy_market(market)
    ChainEvent.objects.all().delete()
    left = {label for label, rows in table_rows().items() if any(row.get("event_id") for row in rows)}
    assert left == set()


def test_income_vested_of_a_licence_that_nobody_bought_stops_the_stream(market):
    _, _, licence_id = market.sold_licence(vesting=DAY)
    market.warp(3600)
    market.collect(licence_id)
    market.index()
    row = ChainEvent.objects.get(name="IncomeVested")
    models.Holding.objects.all().delete()
    with pytest.raises(HandlerFailed, match="LookupError"):
        handlers.dispatch([IndexedEvent(_decoded_again(market, row), row)])
