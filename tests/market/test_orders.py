"""Orders: what a buyer said they sent, and what became of it, on a real chain."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain import abi
from marketplace.orders import selectors, services
from marketplace.orders.errors import OrderConflictError, OrderTooManyOpenError
from marketplace.orders.models import Order, OrderKind, OrderState
from tests.fixtures.contracts import DOWNLOAD, RENEWABLE, RUN, TRANSFERABLE
from tests.fixtures.people import BUYER
from tests.market.test_market_rows import deliver

pytestmark = pytest.mark.django_db
DAY = 24 * 3600


def send_buy(market, plan_id: int, *, by: str = BUYER, value: int = 1000, gas: int = 500_000) -> str:
    plan_hash = market.read("LicenceMarket", "planHash", [plan_id])
    data = abi.call_encode("LicenceMarket", "buy", [plan_id, plan_hash, by])
    to = market.book.contract("LicenceMarket").address
    return market.anvil.rpc(
        "eth_sendTransaction", {"from": by, "to": to, "data": data, "value": hex(value), "gas": hex(gas)}
    )


def newest_transaction(market) -> str:
    return market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]


def record(account, tx_hash: str, plan_id: int | None) -> Order:
    order, _ = services.order_record(account=account, tx_hash=tx_hash, kind="buy", plan_id=plan_id)
    return order


def state_of(order: Order) -> OrderState:
    return Order.objects.get(pk=order.pk).state


def make_old(order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(minutes=3), checked_at=None)


@pytest.fixture
def plan_id(market) -> int:
    return market.add_plan(market.publish())


def test_order_is_seen_only_when_the_log_was_indexed(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    assert order.state == "sent"
    services.orders_follow()
    # Mined and successful, and still not seen: the index has not said so.
    assert state_of(order) == "sent"
    market.index()
    assert state_of(order) == "seen"
    assert selectors.order_licence(Order.objects.get(pk=order.pk)).plan.plan_id == plan_id


def test_order_beyond_those_that_are_followed_is_refused(market, plan_id, buyer, outsider, monkeypatch):
    monkeypatch.setattr(services, "OPEN_MAX", 2)
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


def test_order_of_a_purchase_that_a_reorg_removed_is_sent_again(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id), plan_id)
    market.index()
    assert state_of(order) == "seen"
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert state_of(order) == "sent"


def test_order_reverted_by_the_contract_says_why(market, plan_id, buyer):
    order = record(buyer, send_buy(market, plan_id, value=1), plan_id)
    services.orders_follow()
    order.refresh_from_db()
    assert (order.state, order.error["code"]) == ("reverted", "chain.reverted")
    assert "needs exactly 1000 wei sent along, 1 came" in order.error["message"]
    assert "needs exactly 1000 wei sent along, 1 came" in selectors.order_message(order)


def test_order_that_the_node_does_not_know_is_unknown_and_never_failed(market, plan_id, buyer):
    order = record(buyer, "0x" + "ab" * 32, plan_id)
    services.orders_follow()
    assert state_of(order) == "sent"
    make_old(order)
    services.orders_follow()
    assert state_of(order) == "unknown"


def test_order_unknown_becomes_seen_when_it_is_mined_after_all(market, plan_id, buyer):
    order = record(buyer, tx_hash := send_buy(market, plan_id), plan_id)
    Order.objects.update(followed_state=OrderState.UNKNOWN)
    assert Order.objects.get().tx_hash == tx_hash
    market.index()
    assert state_of(order) == "seen"


def test_order_waiting_in_the_mempool_stays_sent(market, plan_id, buyer):
    market.anvil.rpc("evm_setAutomine", False)
    try:
        order = record(buyer, send_buy(market, plan_id), plan_id)
        make_old(order)
        services.orders_follow()
        assert state_of(order) == "sent"
    finally:
        market.anvil.rpc("evm_setAutomine", True)
        market.mine()


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


def test_order_follow_with_a_dead_node_changes_nothing(plan_id, buyer, settings):
    order = record(buyer, "0x" + "ab" * 32, plan_id)
    make_old(order)
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    services.orders_follow()
    assert (state_of(order), Order.objects.get().checked_at) == ("sent", None)


def test_order_recorded_twice_is_one(market, plan_id, buyer):
    tx_hash = "0x" + "ab" * 32
    assert record(buyer, tx_hash, plan_id).pk == record(buyer, tx_hash.upper().replace("X", "x"), plan_id).pk
    with pytest.raises(OrderConflictError):
        services.order_record(account=buyer, tx_hash=tx_hash, kind="withdraw")


def test_api_order_is_recorded_and_read_by_its_owner_alone(market, plan_id, with_key, buyer, outsider):
    body = {"tx_hash": send_buy(market, plan_id), "kind": "buy", "plan": str(plan_id)}
    created = with_key(buyer).post("/api/v1/orders", body, format="json")
    assert (created.status_code, created.json()["state"]) == (201, "sent")
    assert with_key(buyer).post("/api/v1/orders", body, format="json").status_code == 200
    market.index()
    url = created.headers["Location"]
    seen = with_key(buyer).get(url).json()
    assert seen["state"] == "seen"
    assert int(seen["licence"]) >> 32 == plan_id
    assert with_key(outsider).get(url).status_code == 404
    assert with_key(outsider).get("/api/v1/orders").json()["results"] == []


@pytest.mark.parametrize(
    "change", [{"tx_hash": "0x12"}, {"plan": None}, {"kind": "steal"}, {"plan": "-1"}, {"plan": "1e3"}]
)
def test_api_order_that_is_malformed_is_refused(with_key, buyer, change):
    body = {"tx_hash": "0x" + "ab" * 32, "kind": "buy", "plan": "4294967297", **change}
    assert with_key(buyer).post("/api/v1/orders", body, format="json").status_code == 400


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
    assert set(services.EVENT_OF_KIND) == set(OrderKind)
    assert set(DONE) | {"buy", "publish", "release", "add_plan", "retire_plan", "withdraw"} == set(OrderKind)
    assert set(services.PARTIES_OF_KIND) == {*OF_THE_SENDER, "buy", "publish"}


def test_order_naming_another_licence_is_not_seen(market, buyer):
    licence_id = _licence(market)
    market.cancel(licence_id)
    tx_hash = newest_transaction(market)
    wrong, _ = services.order_record(account=buyer, tx_hash=tx_hash, kind="cancel", licence_id=licence_id + 1)
    market.index()
    assert state_of(wrong) == "sent"
    with pytest.raises(OrderConflictError):
        services.order_record(account=buyer, tx_hash=tx_hash, kind="cancel", licence_id=licence_id)


def test_api_order_of_a_cancel_names_its_licence(market, with_key, buyer):
    licence_id = _licence(market)
    market.cancel(licence_id)
    body = {"tx_hash": newest_transaction(market), "kind": "cancel", "licence": str(licence_id)}
    created = with_key(buyer).post("/api/v1/orders", body, format="json")
    assert (created.status_code, created.json()["licence"]) == (201, str(licence_id))
    market.index()
    seen = with_key(buyer).get(created.headers["Location"]).json()
    assert (seen["state"], seen["kind"]) == ("seen", "cancel")
