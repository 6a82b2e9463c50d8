"""How much of an income is final, and what releases a key: on a real chain whose finalised block lags by 64."""

import pytest

from marketplace.licences import selectors, services
from marketplace.licences.errors import DeliveryNoneError, DeliveryNotFinalError
from marketplace.licences.models import KeyDelivery, Licence
from tests.fixtures.contracts import NATIVE

pytestmark = pytest.mark.django_db
FINALITY = 64


def income(market, model_id: int) -> selectors.IncomeView:
    market.index()
    (view,) = selectors.income_for_models([model_id])[model_id]
    return view


def test_income_is_final_when_its_split_is(market):
    model_id, plan_id, _ = market.sold_licence()
    young = income(market, model_id)
    assert (young.sales_not_final, young.earned, young.earned_final) == (1000, 0, 0)
    market.split(plan_id)
    split = income(market, model_id)
    assert (split.earned, split.earned_final, split.earned_not_final) == (1000, 0, 1000)
    market.mine(FINALITY)
    settled = income(market, model_id)
    assert (settled.earned_final, settled.earned_not_final, settled.sales_not_final) == (1000, 0, 0)
    market.buy(plan_id)
    market.split(plan_id)
    both = income(market, model_id)
    assert (both.earned_final, both.earned_not_final, both.sales_not_final) == (1000, 1000, 1000)


def test_income_that_was_withdrawn_stays_counted(market):
    model_id, plan_id, _ = market.sold_licence()
    market.split(plan_id)
    market.mine(FINALITY)
    market.withdraw(model_id)
    view = income(market, model_id)
    assert (view.available, view.withdrawn, view.earned_final, view.earned_not_final) == (0, 1000, 1000, 0)


def test_income_that_the_index_has_not_seen_is_not_final(market):
    model_id, plan_id, _ = market.sold_licence()
    market.index()
    market.split(plan_id)
    (view,) = selectors.income_for_models([model_id])[model_id]
    assert (view.earned, view.earned_final, view.earned_not_final) == (1000, 0, 1000)


def test_income_of_an_ancestor_and_of_an_operator_is_final_with_the_split(market):
    parent_id = market.publish(b"\x02" * 32, derivative_bps=1000)
    model_id = market.publish(parents=[(parent_id, 1000)])
    plan_id = market.add_plan(model_id, operatorId=market.operator_id, serviceBps=1000)
    market.buy(plan_id)
    market.split(plan_id)
    assert income(market, parent_id).earned_not_final == 90
    (share,) = selectors.operator_income_for_payee(market.operator_payee)
    assert (share.earned, share.earned_final, share.earned_not_final) == (100, 0, 100)
    market.mine(FINALITY)
    assert income(market, parent_id).earned_final == 90
    (share,) = selectors.operator_income_for_payee(market.operator_payee)
    assert (share.earned_final, share.earned_not_final) == (100, 0)


def test_renewal_in_a_young_block_is_a_sale_that_is_not_final(market):
    model_id = market.publish()
    licence_id = market.buy(market.add_plan(model_id, period=3600, flags=1 | 8))
    market.mine(FINALITY)
    assert income(market, model_id).sales_not_final == 0
    market.renew(licence_id)
    assert income(market, model_id).sales_not_final == 1000


def test_api_says_how_much_is_final(market, client):
    model_id, plan_id, _ = market.sold_licence()
    market.split(plan_id)
    market.index()
    (row,) = client.get(f"/api/v1/models/{model_id}/income").json()
    wanted = {
        "token": NATIVE,
        "earned": "1000",
        "earned_final": "0",
        "earned_not_final": "1000",
        "sales_not_final": "1000",
    }
    assert {name: row[name] for name in wanted} == wanted


def test_key_is_released_by_a_final_delivery_alone(market):
    _, _, licence_id = market.sold_licence()
    market.index()
    with pytest.raises(DeliveryNoneError):
        services.delivery_final_require(licence_id)
    # The event of the purchase stands for that of a delivery: what counts is its block.
    delivery = KeyDelivery.objects.create(
        event=Licence.objects.get().event,
        licence_id=licence_id,
        holder=market.buyer,
        recipient_key="0x" + "01" * 32,
        wrapped_key_hash="0x" + "02" * 32,
    )
    with pytest.raises(DeliveryNotFinalError, match="1 confirmation") as refusal:
        services.delivery_final_require(licence_id)
    assert refusal.value.retryable
    assert selectors.licence_detail(licence_id).delivery_finality.text == "1 confirmation"
    market.mine(FINALITY)
    market.index()
    assert services.delivery_final_require(licence_id) == delivery
