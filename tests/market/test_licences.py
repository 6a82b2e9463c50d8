"""Plans, licences and income, on a real chain with a real indexer."""

import pytest

from chain.finality import Tier
from chain.selectors import LicenceState
from marketplace.licences import selectors, services
from marketplace.licences.errors import (
    LicenceExpiredError,
    LicenceForeignError,
    LicenceNoneError,
    LicenceNoRunRightError,
    LicenceWrongModelError,
)
from marketplace.licences.models import Licence, LicenceTransfer, Plan
from tests.fixtures.contracts import DOWNLOAD, RUN, TRANSFERABLE
from tests.fixtures.people import BUYER, OUTSIDER, PUBLISHER

pytestmark = pytest.mark.django_db
DAY = 24 * 3600
# Plans, retirements, sold, cancelled, settled, suspensions, and the time of the newest block.
QUERIES_OF_A_LIST = 7


def later(market, seconds: int) -> None:
    market.anvil.rpc("evm_increaseTime", seconds)
    market.mine()


def test_plan_added_on_chain_is_listed_with_its_terms_and_hash(market):
    model_id = market.publish()
    terms = {"token": market.usd, "price": 12_500_000, "period": 30 * DAY, "calls": 100, "supply": 5, "flags": 5}
    plan_id = market.add_plan(model_id, **terms)
    market.index()
    (view,) = selectors.plan_list_for_model(model_id)
    assert (view.plan.plan_id, view.plan.number) == (plan_id, 1)
    assert {name: getattr(view.plan, name) for name in terms} == terms
    assert view.plan.plan_hash == market.read("LicenceMarket", "planHash", [plan_id])
    assert (view.price_text, view.plan.rights) == ("12.5 TestUSD", ["RUN", "TRANSFERABLE"])
    assert (view.is_on_sale, view.sold) == (True, 0)


def test_plan_retired_is_off_the_list_and_stays_readable(market):
    plan_id = market.add_plan(model_id := market.publish())
    market.send("LicenceMarket", "retirePlan", [plan_id], by=PUBLISHER)
    market.index()
    assert selectors.plan_list_for_model(model_id) == []
    assert selectors.plan_get(plan_id).is_retired


def test_plan_sold_out_is_not_on_sale(market):
    _, plan_id, _ = market.sold_licence(supply=1)
    market.index()
    view = selectors.plan_get(plan_id)
    assert (view.sold, view.is_sold_out, view.is_on_sale) == (1, True, False)


def test_plan_on_sale_is_the_first_of_each_model_however_many_plans_another_has(market, monkeypatch):
    crowded, modest = market.publish(), market.publish(b"\x02" * 32)
    sold_out = market.add_plan(crowded, supply=1)
    plans = [market.add_plan(crowded) for _ in range(3)]
    market.buy(sold_out)
    market.send("LicenceMarket", "retirePlan", [plans[0]], by=PUBLISHER)
    other = market.add_plan(modest)
    market.index()
    monkeypatch.setattr(selectors, "LIST_LIMIT", 2)
    found = selectors.plans_on_sale([crowded, modest, 99])
    assert {model_id: view.plan.plan_id for model_id, view in found.items()} == {crowded: plans[1], modest: other}


def test_plans_on_sale_of_a_page_take_the_same_few_queries_however_many_licences(market, django_assert_num_queries):
    model_id, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    market.index()
    with django_assert_num_queries(QUERIES_OF_A_LIST):
        assert selectors.plans_on_sale([model_id])[model_id].sold == 2


def test_licence_bought_is_valid_with_the_finality_of_its_purchase(market):
    _, plan_id, licence_id = market.sold_licence()
    market.index()
    (view,) = selectors.licence_list_for_holder(BUYER)
    assert (view.licence.licence_id, view.plan.plan_id, view.state) == (licence_id, plan_id, "valid")
    assert (view.finality.tier, view.finality.confirmations) == (Tier.CONFIRMED, 1)
    market.mine(1)
    market.index()
    assert selectors.licence_list_for_holder(BUYER)[0].finality.text == "2 confirmations"
    market.mine(70)
    market.index()
    assert selectors.licence_list_for_holder(BUYER)[0].finality.is_final
    assert selectors.licence_list_for_holder(OUTSIDER) == []


def test_licence_that_is_valid_is_found_behind_many_that_are_not(market, monkeypatch):
    model_id, _, good = market.sold_licence()
    for terms in ({"flags": DOWNLOAD}, {"period": 1}):
        junk = market.add_plan(model_id, **terms)
        for _ in range(2):
            market.buy(junk, by=OUTSIDER, recipient=BUYER)
    market.anvil.rpc("evm_increaseTime", 10)
    market.mine(1)
    market.index()
    Licence.objects.filter(expires_at__gt=0).update(expires_at=1)
    monkeypatch.setattr(services, "CANDIDATE_LIMIT", 1)
    assert services.licence_require(holder=BUYER, model_id=model_id).licence_id == good


def test_licence_transferred_is_listed_for_its_new_holder(market):
    _, _, licence_id = market.sold_licence(flags=RUN | TRANSFERABLE)
    market.send("LicenceMarket", "transferFrom", [BUYER, OUTSIDER, licence_id], by=BUYER)
    market.index()
    assert selectors.licence_list_for_holder(BUYER) == []
    assert [view.holder for view in selectors.licence_list_for_holder(OUTSIDER)] == [OUTSIDER]
    assert selectors.licence_get(licence_id).holder == OUTSIDER


def test_licence_that_a_reorg_removes_is_gone_and_its_transfer_too(market):
    market.sold_licence(flags=RUN | TRANSFERABLE)
    market.index()
    assert (Licence.objects.count(), LicenceTransfer.objects.count()) == (1, 1)
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert (Licence.objects.count(), LicenceTransfer.objects.count(), Plan.objects.count()) == (0, 0, 1)


def test_licence_transfer_that_a_reorg_removes_gives_the_licence_back(market):
    _, _, licence_id = market.sold_licence(flags=RUN | TRANSFERABLE)
    market.send("LicenceMarket", "transferFrom", [BUYER, OUTSIDER, licence_id], by=BUYER)
    market.index()
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert [view.licence.licence_id for view in selectors.licence_list_for_holder(BUYER)] == [licence_id]


def test_licence_require_without_any_is_refused(market):
    model_id, _, _ = market.sold_licence()
    market.index()
    with pytest.raises(LicenceNoneError):
        services.licence_require(holder=OUTSIDER, model_id=model_id)


def test_licence_require_of_an_id_that_does_not_exist_is_refused(market):
    with pytest.raises(LicenceNoneError):
        services.licence_require(holder=BUYER, model_id=1, licence_id=2**255)


def test_licence_require_finds_the_holders_licence(market):
    model_id, plan_id, licence_id = market.sold_licence()
    market.index()
    state = services.licence_require(holder=BUYER, model_id=model_id)
    assert (state.licence_id, state.plan_id, state.is_valid) == (licence_id, plan_id, True)


def test_licence_require_of_somebody_elses_licence_is_refused(market):
    model_id, _, licence_id = market.sold_licence()
    with pytest.raises(LicenceForeignError):
        services.licence_require(holder=OUTSIDER, model_id=model_id, licence_id=licence_id)


def test_licence_require_for_another_model_is_refused(market):
    _, _, licence_id = market.sold_licence()
    with pytest.raises(LicenceWrongModelError):
        services.licence_require(holder=BUYER, model_id=market.publish(b"\x02" * 32), licence_id=licence_id)


def test_licence_require_after_its_time_is_refused(market):
    model_id, _, licence_id = market.sold_licence(period=DAY)
    market.index()
    later(market, DAY)
    with pytest.raises(LicenceExpiredError):
        services.licence_require(holder=BUYER, model_id=model_id)
    with pytest.raises(LicenceExpiredError):
        services.licence_require(holder=BUYER, model_id=model_id, licence_id=licence_id)


def test_licence_require_of_a_download_licence_is_refused(market):
    model_id, _, _ = market.sold_licence(flags=DOWNLOAD)
    market.index()
    with pytest.raises(LicenceNoRunRightError):
        services.licence_require(holder=BUYER, model_id=model_id)


def test_licence_require_asks_the_chain_and_not_the_read_model(market):
    model_id, _, licence_id = market.sold_licence(flags=RUN | TRANSFERABLE)
    market.index()
    market.send("LicenceMarket", "transferFrom", [BUYER, OUTSIDER, licence_id], by=BUYER)
    # The index still says that the buyer holds it.
    assert [view.licence.licence_id for view in selectors.licence_list_for_holder(BUYER)] == [licence_id]
    with pytest.raises(LicenceForeignError):
        services.licence_require(holder=BUYER, model_id=model_id)


def test_licence_require_prefers_unmetered_then_what_ends_first(market):
    model_id = market.publish()
    plans = [market.add_plan(model_id, **terms) for terms in ({"calls": 5}, {}, {"period": 9 * DAY}, {"period": DAY})]
    metered, perpetual, long, short = [market.buy(plan_id) for plan_id in plans]
    market.index()
    usable: list[LicenceState] = services.licences_usable(holder=BUYER, model_id=model_id)
    assert [state.licence_id for state in usable] == [short, long, perpetual, metered]


def test_api_plans_are_public_and_integers_are_strings(market, client):
    model_id, plan_id, _ = market.sold_licence(price=10**18)
    market.index()
    (body,) = client.get(f"/api/v1/models/{model_id}/plans").json()
    assert (body["plan"], body["price"], body["price_text"]) == (str(plan_id), str(10**18), "1 ETH")


def test_api_purchase_of_a_native_plan_is_one_call_that_buys(market, client):
    plan_id = market.add_plan(market.publish(), price=12)
    market.index()
    body = client.get(f"/api/v1/plans/{plan_id}/purchase", {"recipient": BUYER}).json()
    (buy,) = body["transactions"]
    sent = {"from": BUYER, "to": buy["to"], "data": buy["data"], "value": hex(int(buy["value"]))}
    market.anvil.mined(market.anvil.rpc("eth_sendTransaction", sent))
    market.index()
    assert [view.plan.plan_id for view in selectors.licence_list_for_holder(BUYER)] == [plan_id]


def test_api_purchase_in_a_token_approves_exactly_the_price_and_buys(market, client):
    plan_id = market.add_plan(market.publish(), token=market.usd, price=2_000_000)
    market.index()
    body = client.get(f"/api/v1/plans/{plan_id}/purchase", {"recipient": BUYER}).json()
    assert [call["purpose"] for call in body["transactions"]] == ["approve", "buy"]
    for call in body["transactions"]:
        sent = {"from": BUYER, "to": call["to"], "data": call["data"]}
        market.anvil.mined(market.anvil.rpc("eth_sendTransaction", sent))
    market.index()
    assert len(selectors.licence_list_for_holder(BUYER)) == 1
    market_address = market.book.contract("LicenceMarket").address
    assert market.read("TestUSD", "allowance", [BUYER, market_address]) == 0


@pytest.mark.parametrize(("recipient", "status"), [("", 400), ("0x12", 400), ("0x" + "g" * 40, 400)])
def test_api_purchase_for_a_recipient_that_is_none_is_refused(market, client, recipient, status):
    plan_id = market.add_plan(market.publish())
    market.index()
    assert client.get(f"/api/v1/plans/{plan_id}/purchase", {"recipient": recipient}).status_code == status


def test_api_purchase_of_a_retired_plan_is_refused(market, client):
    plan_id = market.add_plan(market.publish())
    market.send("LicenceMarket", "retirePlan", [plan_id], by=PUBLISHER)
    market.index()
    response = client.get(f"/api/v1/plans/{plan_id}/purchase", {"recipient": BUYER})
    assert (response.status_code, response.json()["code"]) == (409, "plan.retired")


def test_api_purchase_of_a_plan_that_does_not_exist_is_refused(client):
    response = client.get(f"/api/v1/plans/{2**256 - 1}/purchase", {"recipient": BUYER})
    assert (response.status_code, response.json()["code"]) == (404, "plan.not_found")
    assert client.get(f"/api/v1/plans/{2**256}/purchase").status_code == 404


def test_api_licences_are_the_callers_own(market, with_key, buyer, outsider):
    model_id, _, licence_id = market.sold_licence()
    market.index()
    (body,) = with_key(buyer).get("/api/v1/licences", {"model": str(model_id)}).json()
    assert (body["licence"], body["state"], body["rights"]) == (str(licence_id), "valid", ["RUN"])
    assert (body["finality"]["tier"], body["finality"]["confirmations"]) == ("confirmed", 1)
    assert with_key(buyer).get("/api/v1/licences", {"model": "99"}).json() == []
    assert with_key(outsider).get("/api/v1/licences").json() == []
