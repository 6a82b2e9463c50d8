"""Orders: what a buyer said they sent, and what became of it, on a real chain."""

import pytest
from django.utils import timezone

from marketplace.orders import selectors, services
from marketplace.orders.errors import OrderConflictError, OrderTooManyOpenError
from marketplace.orders.models import Order, OrderKind
from marketplace.orders.services import matching, recording
from tests.fixtures.contracts import DOWNLOAD, RENEWABLE, RUN, TRANSFERABLE
from tests.fixtures.people import BUYER
from tests.market.order_steps import again, newest_transaction, record, send_buy, state_of
from tests.market.test_market_rows import deliver

pytestmark = pytest.mark.django_db
DAY = 24 * 3600


def test_order_is_seen_only_when_the_log_was_indexed(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    assert order.state == "sent"
    services.orders_follow()
    # Mined and successful, and still not seen: the index has not said so.
    assert state_of(order) == "mined"
    market.index()
    assert state_of(order) == "seen"
    assert selectors.order_licence(Order.objects.get(pk=order.pk)).plan.plan_id == plan_id


def test_order_beyond_those_that_are_followed_is_refused(market, plan_id, buyer, outsider, monkeypatch):
    monkeypatch.setattr(recording, "OPEN_MAX", 2)
    first, second, third = ("0x" + f"{number:064x}" for number in range(3))
    record(buyer, first, plan_id), record(buyer, second, plan_id)
    with pytest.raises(OrderTooManyOpenError):
        record(buyer, third, plan_id)
    assert record(buyer, first, plan_id).tx_hash == first, "one that is known is found again"
    assert record(outsider, third, plan_id).state == "sent"


def test_order_of_somebody_elses_publication_is_never_seen(market, buyer):
    market.publish()
    market.index()
    order, _ = services.order_record(account=buyer, tx_hash=newest_transaction(market), kind="publish")
    assert order.state == "sent"


def test_order_recorded_after_the_index_saw_it_is_seen_at_once(market, plan_id, buyer):
    tx_hash = send_buy(market, plan_id)
    market.index()
    assert record(buyer, tx_hash, plan_id).state == "seen"


def test_order_missed_by_both_sides_is_matched_when_it_is_followed(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    market.index()
    Order.objects.update(event=None)
    services.orders_follow()
    assert state_of(order) == "seen"


def test_order_that_another_process_tied_meanwhile_is_left_as_that_left_it(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    read_before = again(order)
    market.index()
    assert state_of(order) == "seen"
    checked = timezone.now()
    Order.objects.filter(pk=order.pk).update(checked_at=checked)
    assert not matching.order_match(order=read_before, event=again(order).event)
    assert again(order).checked_at == checked
    assert read_before.event_id == again(order).event_id, "what was read is fresh now"


def test_order_of_somebody_elses_purchase_is_not_seen(market, plan_id, buyer, outsider):
    order = record(outsider, send_buy(market, plan_id), plan_id)
    market.index()
    assert state_of(order) == "sent"


def test_order_naming_another_plan_is_not_seen(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id + 1)
    market.index()
    assert state_of(order) == "sent"


def test_order_of_a_plan_added_is_seen(market, publisher):
    market.add_plan(market.publish())
    order, _ = services.order_record(account=publisher, tx_hash=newest_transaction(market), kind="add_plan")
    market.index()
    assert state_of(order) == "seen"


def test_order_recorded_twice_is_one(market, plan_id, buyer):
    tx_hash = "0x" + "ab" * 32
    assert record(buyer, tx_hash, plan_id).pk == record(buyer, tx_hash.upper().replace("X", "x"), plan_id).pk
    with pytest.raises(OrderConflictError):
        services.order_record(account=buyer, tx_hash=tx_hash, kind="withdraw")


def test_order_of_an_outsider_does_not_stop_the_buyers(market, plan_id, buyer, outsider):
    tx_hash = send_buy(market, plan_id)
    record(outsider, tx_hash, plan_id)
    order = record(buyer, tx_hash, plan_id)
    market.index()
    assert state_of(order) == "seen"


def _licence(market, **terms) -> int:
    terms = {"vesting": DAY, "flags": RUN | TRANSFERABLE, **terms}
    return market.sold_licence(**terms)[2]


def _renew(market) -> None:
    market.renew(_licence(market, period=DAY, vesting=DAY, flags=RUN | RENEWABLE))


def _settle(market) -> None:
    market.cancel(licence_id := _licence(market, calls=3))
    market.warp(DAY)
    market.settle(licence_id)


def _collect(market) -> None:
    licence_id = _licence(market)
    market.warp(3600)
    market.collect(licence_id, by=BUYER)


def _split(market) -> None:
    market.split(market.sold_licence()[1], by=BUYER)


def _withdraw_account(market) -> None:
    operator_id = market.register_operator(by=BUYER)
    plan_id = market.add_plan(market.publish(), operatorId=operator_id, serviceBps=5000)
    market.buy(plan_id)
    market.split(plan_id)
    market.withdraw_account(by=BUYER)


def _set_operator(market) -> None:
    operator_id = market.register_operator(by=BUYER)
    market.send("LicenceMarket", "setOperator", [operator_id, BUYER, BUYER], by=BUYER)


def _deliver(market) -> None:
    deliver(market, _licence(market, flags=DOWNLOAD), holder=BUYER)


DONE = {
    "renew": _renew,
    "cancel": lambda market: market.cancel(_licence(market)),
    "settle": _settle,
    "collect": _collect,
    "split": _split,
    "withdraw_account": _withdraw_account,
    "register_operator": lambda market: market.register_operator(by=BUYER),
    "set_operator": _set_operator,
    "deliver": _deliver,
}
OF_THE_SENDER = ("renew", "cancel", "settle", "withdraw_account", "register_operator")


@pytest.mark.parametrize("kind", DONE)
def test_order_of_every_kind_is_followed_to_its_event(market, buyer, kind):
    DONE[kind](market)
    order, _ = services.order_record(account=buyer, tx_hash=newest_transaction(market), kind=kind)
    assert order.state == "sent"
    market.index()
    assert state_of(order) == "seen"


@pytest.mark.parametrize("kind", OF_THE_SENDER)
def test_order_of_what_somebody_else_did_is_not_seen(market, outsider, kind):
    DONE[kind](market)
    order, _ = services.order_record(account=outsider, tx_hash=newest_transaction(market), kind=kind)
    market.index()
    assert state_of(order) == "sent"


def test_order_kinds_all_have_an_event_and_a_test():
    assert set(services.EVENT_OF_KIND) == set(matching.FUNCTIONS_OF_KIND) == set(OrderKind)
    assert set(DONE) | {"buy", "publish", "release", "add_plan", "retire_plan", "withdraw"} == set(OrderKind)
    assert set(matching.PARTIES_OF_KIND) == {*OF_THE_SENDER, "buy", "publish"}
    assert all(actor in matching.PARTIES_OF_KIND[kind] for kind, actor in matching.ACTOR_OF_KIND.items())


def test_order_naming_another_licence_is_not_seen(market, buyer):
    licence_id = _licence(market)
    market.cancel(licence_id)
    tx_hash = newest_transaction(market)
    wrong, _ = services.order_record(account=buyer, tx_hash=tx_hash, kind="cancel", licence_id=licence_id + 1)
    market.index()
    assert state_of(wrong) == "sent"
    with pytest.raises(OrderConflictError):
        services.order_record(account=buyer, tx_hash=tx_hash, kind="cancel", licence_id=licence_id)
