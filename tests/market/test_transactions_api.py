"""What the API has a wallet sign, and what it refuses before a wallet opens."""

from typing import Any

import pytest

from chain.transactions import receipt_wait
from marketplace.licences import selectors
from tests.fixtures.contracts import NATIVE, RENEWABLE, RUN
from tests.fixtures.people import BUYER, OUTSIDER, PUBLISHER

pytestmark = pytest.mark.django_db
DAY = 24 * 3600
MONTH = {"period": 30 * DAY, "vesting": 30 * DAY, "flags": RUN | RENEWABLE}


def ask(client, path: str, **query: str) -> Any:
    return client.get(f"/api/v1/{path}", query)


def refusal(response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def purposes(response) -> list[str]:
    assert response.status_code == 200, response.json()
    return [call["purpose"] for call in response.json()["transactions"]]


def signed(market, response, *, by: str) -> None:
    """Send what the API said, as a wallet would, and index it."""
    for call in response.json()["transactions"]:
        assert call["chain_id"] == "31337"
        sent = {"from": by, "to": call["to"], "data": call["data"], "value": hex(int(call["value"]))}
        tx_hash = market.anvil.rpc("eth_sendTransaction", {**sent, "gas": hex(3_000_000)})
        receipt_wait(tx_hash, gateway=market.gateway)
    market.index()


def test_renewal_of_a_native_plan_is_one_call_that_renews(market, client):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.index()
    response = ask(client, f"licences/{licence_id}/renewal", sender=OUTSIDER)
    assert purposes(response) == ["renew"]
    signed(market, response, by=OUTSIDER)
    assert selectors.licence_get(licence_id).renewal.payer == OUTSIDER


def test_renewal_in_a_token_approves_exactly_the_price_and_only_where_it_must(market, client):
    _, _, licence_id = market.sold_licence(**MONTH, token=market.usd, price=2_000_000)
    market.index()
    path = f"licences/{licence_id}/renewal"
    response = ask(client, path, sender=BUYER)
    assert purposes(response) == ["approve", "renew"]
    spender = market.book.contract("LicenceMarket").address
    market.send("TestUSD", "approve", [spender, 2_000_000], by=BUYER)
    assert purposes(ask(client, path, sender=BUYER)) == ["renew"]
    assert purposes(ask(client, path)) == ["approve", "renew"], "nobody knows whose allowance to ask for"
    signed(market, ask(client, path, sender=BUYER), by=BUYER)
    assert market.read("TestUSD", "allowance", [BUYER, spender]) == 0


def test_cancellation_by_its_holder_pays_to_the_last_unit_what_the_detail_promised(market, client):
    _, _, licence_id = market.sold_licence(**MONTH, price=10**16)
    market.warp(3 * DAY)
    market.index()
    later = market.now + 100
    body = ask(client, f"licences/{licence_id}", at=str(later)).json()
    assert (body["state"], body["amount"], body["token"]) == ("valid", str(10**16), NATIVE)
    assert int(body["vested"]) + int(body["refund"]) == 10**16
    assert (body["refund_later"]["at"], body["vesting_curve"][0]["vested"]) == (later, "0")
    response = ask(client, f"licences/{licence_id}/cancellation", to=BUYER, sender=BUYER)
    assert purposes(response) == ["cancel"]
    market.next_block_at(later)
    signed(market, response, by=BUYER)
    after = ask(client, f"licences/{licence_id}").json()
    assert (after["state"], after["refund_paid"]) == ("settled", body["refund_later"]["refund"])
    assert int(after["refund_paid"]) < int(body["refund"])
    assert after["settled_tx_hash"] == market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]


def test_settlement_comes_after_the_time_for_reports(market, client):
    _, _, licence_id = market.sold_licence(**MONTH, calls=3)
    market.cancel(licence_id)
    market.index()
    early = ask(client, f"licences/{licence_id}/settlement", to=BUYER, sender=OUTSIDER)
    assert refusal(early) == (409, "chain.reverted.settles_later")
    market.warp(6 * 3600)
    foreign = ask(client, f"licences/{licence_id}/settlement", to=OUTSIDER, sender=OUTSIDER)
    assert refusal(foreign)[0] == 409
    response = ask(client, f"licences/{licence_id}/settlement", to=BUYER, sender=OUTSIDER)
    signed(market, response, by=OUTSIDER)
    assert selectors.licence_get(licence_id).settlement.to_address == BUYER


def test_collection_collects_in_batches_then_splits(market, client):
    model_id, plan_id, _ = market.sold_licence(**MONTH, price=10**9)
    market.buy(plan_id)
    market.warp(DAY)
    market.index()
    response = ask(client, f"plans/{plan_id}/collection", sender=OUTSIDER)
    assert purposes(response) == ["collect", "split"]
    signed(market, response, by=OUTSIDER)
    (income,) = ask(client, f"models/{model_id}/income").json()
    assert int(income["available"]) == int(income["earned"]) > 0
    assert income["unsplit"] == "0"
    withdrawal = ask(client, f"models/{model_id}/withdrawal", token=NATIVE, to=PUBLISHER, sender=PUBLISHER)
    signed(market, withdrawal, by=PUBLISHER)
    (after,) = ask(client, f"models/{model_id}/income").json()
    assert (after["withdrawn"], after["available"]) == (income["available"], "0")


def test_collection_of_nothing_is_refused(market, client):
    plan_id = market.add_plan(market.publish(), **MONTH)
    market.index()
    assert refusal(ask(client, f"plans/{plan_id}/collection")) == (409, "transaction.nothing_to_do")


def test_operator_registers_changes_and_withdraws(market, client):
    accounts = {"key": OUTSIDER.lower(), "payee": OUTSIDER}
    signed(market, ask(client, "operators/registration", **accounts, sender=OUTSIDER), by=OUTSIDER)
    (operator,) = ask(client, "operators", owner=OUTSIDER).json()
    assert (operator["key"], operator["disabled"]) == (OUTSIDER, False)
    path = f"operators/{operator['operator']}"
    change = ask(client, f"{path}/change", key=BUYER, payee=OUTSIDER, sender=OUTSIDER)
    signed(market, change, by=OUTSIDER)
    assert ask(client, path).json()["key"] == BUYER
    assert refusal(ask(client, f"{path}/change", **accounts, sender=BUYER)) == (409, "chain.reverted.not_allowed")
    plan_id = market.add_plan(market.publish(), operatorId=int(operator["operator"]), serviceBps=5000)
    market.buy(plan_id)
    market.split(plan_id)
    market.index()
    (income,) = ask(client, f"accounts/{OUTSIDER.lower()}/income").json()
    assert (income["account"], income["available"]) == (OUTSIDER, "500")
    signed(market, ask(client, f"accounts/{OUTSIDER}/withdrawal", token=NATIVE, to=BUYER), by=OUTSIDER)
    (income,) = ask(client, f"accounts/{OUTSIDER}/income").json()
    assert (income["withdrawn"], income["available"]) == ("500", "0")
    again = ask(client, f"accounts/{OUTSIDER}/withdrawal", token=NATIVE, to=BUYER)
    assert refusal(again) == (409, "chain.reverted.nothing_to_withdraw")


def test_plan_is_added_by_the_models_owner_with_the_markets_fee(market, client):
    market.send("LicenceMarket", "setFeeBps", [150], by=market.admin)
    model_id = market.publish()
    market.index()
    terms = {"price": "1000", "period_s": DAY, "vesting_s": DAY, "supply": 3, "flags": 9, "sender": PUBLISHER}
    response = client.post(f"/api/v1/models/{model_id}/plans", terms, content_type="application/json")
    assert purposes(response) == ["add_plan"]
    signed(market, response, by=PUBLISHER)
    (plan,) = ask(client, f"models/{model_id}/plans").json()
    assert (plan["fee_bps"], plan["vesting_s"], plan["rights"], plan["entry"]) == (150, DAY, ["RUN", "RENEWABLE"], "0")
    retired = ask(client, f"plans/{plan['plan']}/retirement", sender=PUBLISHER)
    signed(market, retired, by=PUBLISHER)
    assert selectors.plan_get(int(plan["plan"])).is_retired


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sender": BUYER}, (409, "chain.reverted.not_model_owner")),
        ({"flags": 0}, (409, "chain.reverted.flags_invalid")),
        ({"vesting_s": 7}, (409, "chain.reverted.vesting_invalid")),
        ({"calls": 5}, (409, "chain.reverted.operator_required")),
        ({"operator": 77}, (409, "chain.reverted.operator_unknown")),
        ({"entry_bps": 2001}, (409, "chain.reverted.bps_too_large")),
        ({"token": "0x" + "77" * 20}, (409, "chain.reverted.token_not_allowed")),
        ({"price": str(2**96)}, (400, "request.invalid")),
        ({"supply": 2**24}, (400, "request.invalid")),
        ({"token": "0x77"}, (400, "request.invalid")),
        ({"flags": None}, (400, "request.invalid")),
    ],
)
def test_plan_with_terms_that_the_market_refuses_says_which(market, client, change, expected):
    model_id = market.publish()
    market.index()
    terms = {"price": "1000", "supply": 3, "flags": 1, "sender": PUBLISHER, **change}
    response = client.post(f"/api/v1/models/{model_id}/plans", terms, content_type="application/json")
    assert refusal(response) == expected


def test_purchase_of_a_plan_that_is_another_by_now_is_refused(market, client):
    """A re-org put another plan under the id, and the index has not noticed."""
    model_id = market.publish()
    plan_id = market.add_plan(model_id, price=5)
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    assert market.add_plan(model_id, price=6) == plan_id
    response = ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=BUYER)
    assert refusal(response) == (409, "chain.reverted.plan_hash_differs")
    assert "read the plan again" in response.json()["detail"]


def test_purchase_while_sales_are_paused_is_refused_and_leaving_is_not(market, client):
    _, plan_id, licence_id = market.sold_licence(**MONTH)
    market.send("LicenceMarket", "setPaused", [True], by=market.pauser)
    market.index()
    paused = (409, "chain.reverted.sales_paused")
    assert refusal(ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=BUYER)) == paused
    assert refusal(ask(client, f"licences/{licence_id}/renewal", sender=BUYER)) == paused
    assert purposes(ask(client, f"licences/{licence_id}/cancellation", to=BUYER, sender=BUYER)) == ["cancel"]


def test_purchase_and_renewal_of_a_suspended_model_are_refused_and_leaving_is_not(market, client):
    model_id, plan_id, licence_id = market.sold_licence(**MONTH)
    market.suspend(model_id)
    market.index()
    suspended = (409, "chain.reverted.model_is_suspended")
    assert refusal(ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=BUYER)) == suspended
    assert refusal(ask(client, f"licences/{licence_id}/renewal", sender=BUYER)) == suspended
    assert purposes(ask(client, f"licences/{licence_id}/cancellation", to=BUYER, sender=BUYER)) == ["cancel"]


def test_purchase_in_a_token_that_is_not_allowed_any_more_is_refused(market, client):
    plan_id = market.add_plan(market.publish(), token=market.usd, price=5)
    market.send("LicenceMarket", "setTokenAllowed", [market.usd, False], by=market.admin)
    market.index()
    response = ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=BUYER)
    assert refusal(response) == (409, "chain.reverted.token_not_allowed")


@pytest.mark.parametrize("is_native", [True, False])
def test_purchase_by_an_account_without_the_money_is_refused(market, client, is_native):
    plan_id = market.add_plan(market.publish(), token=NATIVE if is_native else market.usd, price=7)
    market.index()
    poor = "0x" + "13" * 20
    response = ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=poor)
    assert refusal(response) == (409, "payment.balance_too_low")
    assert (response.json()["held"], response.json()["price"]) == ("0", "7")


def test_purchase_of_the_last_licence_by_somebody_else_is_refused(market, client):
    _, plan_id, _ = market.sold_licence(supply=1)
    market.index()
    response = ask(client, f"plans/{plan_id}/purchase", recipient=BUYER, sender=BUYER)
    assert refusal(response) == (409, "chain.reverted.supply_exhausted")


def test_cancellation_by_another_than_the_holder_is_refused(market, client):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.index()
    response = ask(client, f"licences/{licence_id}/cancellation", to=OUTSIDER, sender=OUTSIDER)
    assert refusal(response) == (409, "chain.reverted.not_holder")


def test_transactions_without_a_sender_are_not_tried(market, client):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.index()
    assert purposes(ask(client, f"licences/{licence_id}/cancellation", to=OUTSIDER)) == ["cancel"]


def test_transactions_with_a_dead_node_are_refused_and_nothing_else_happens(market, client, settings):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.index()
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    response = ask(client, f"licences/{licence_id}/renewal", sender=BUYER)
    assert refusal(response) == (503, "chain.node_unavailable")
    assert purposes(ask(client, f"licences/{licence_id}/renewal")) == ["renew"]


@pytest.mark.parametrize("path", ["renewal", "cancellation?to=" + BUYER, "settlement?to=" + BUYER, ""])
def test_licence_that_the_index_does_not_have_is_not_found(client, path):
    response = client.get(f"/api/v1/licences/{2**200}/{path}".rstrip("/"))
    assert refusal(response) == (404, "licence.not_found")


@pytest.mark.parametrize(
    "path",
    [
        "licences/1/cancellation?to=0x12",
        "licences/1/cancellation",
        "licences/1/renewal?sender=me",
        "licences/1?at=-1",
        "licences/1?at=1e99",
        "models/1/withdrawal?token=0x0&to=0x0",
        "operators?owner=x",
        "operators/registration?key=" + BUYER,
    ],
)
def test_parameters_that_are_none_are_refused(market, client, path):
    market.publish()
    market.index()
    assert refusal(client.get(f"/api/v1/{path}")) == (400, "request.invalid")


@pytest.mark.parametrize("path", ["accounts/0x12/income", f"operators/{2**256}", "accounts/me/withdrawal"])
def test_paths_that_name_nothing_are_not_found(client, path):
    assert refusal(client.get(f"/api/v1/{path}")) == (404, "request.not_found")
