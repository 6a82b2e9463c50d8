"""A publisher's income on the page: held, vested, collected, withdrawable, each apart."""

import json

import pytest

from chain.gateway.errors import NodeUnavailable
from marketplace.storefront.income import BATCH, BATCHES_SHOWN

DAY = 86_400
MONTH = 30 * DAY
RUN = 1


@pytest.fixture
def vesting(listed):
    """A plan in TestUSD for 3 units a month of which nothing vests at once, fee and service 0. Its id."""
    market = listed.market
    plan = market.add_plan(listed.model_id, token=market.usd, price=3_000_000, period=MONTH, vesting=MONTH, supply=1000)
    market.index()
    return plan


def figures_of(html: str, token: str) -> dict[str, str]:
    """The figures of one token's income, by their names, as the page writes them."""
    html = html.split(f'data-income="{token}"')[1]
    names = ("held", "vested", "unsplit", "available", "withdrawn")
    return {name: html.split(f'data-figure="{name}">')[1].split("<")[0] for name in names}


def calls_of(page, name: str) -> list[dict[str, str]]:
    return [tag for _name, tag in page.tags if tag.get("data-call") == name]


def test_income_moves_from_held_to_withdrawn_step_by_step(signed_in, publisher, listed, vesting, read):
    market, client = listed.market, signed_in(publisher)
    licence = market.buy(vesting)
    bought_at = market.now
    market.next_block_at(bought_at + 10 * DAY)
    market.mine()
    market.index()
    html = client.get("/my/models/").content.decode()
    assert figures_of(html, market.usd) == {
        "held": "2 TestUSD",
        "vested": "1 TestUSD",
        "unsplit": "0 TestUSD",
        "available": "0 TestUSD",
        "withdrawn": "0 TestUSD",
    }
    market.next_block_at(bought_at + 20 * DAY)
    market.collect(licence)
    market.index()
    assert figures_of(client.get("/my/models/").content.decode(), market.usd)["unsplit"] == "2 TestUSD"
    market.split(vesting)
    market.index()
    shown = figures_of(client.get("/my/models/").content.decode(), market.usd)
    assert (shown["unsplit"], shown["available"]) == ("0 TestUSD", "2 TestUSD")
    market.withdraw(listed.model_id, token=market.usd)
    market.index()
    shown = figures_of(client.get("/my/models/").content.decode(), market.usd)
    assert (shown["available"], shown["withdrawn"]) == ("0 TestUSD", "2 TestUSD")


def test_income_offers_what_can_be_signed_and_nothing_else(signed_in, publisher, listed, vesting, read):
    market, client = listed.market, signed_in(publisher)
    licences = [market.buy(vesting) for _ in range(3)]
    market.warp(10 * DAY)
    market.index()
    page = read(client.get("/my/models/"))
    (box,) = calls_of(page, "collect")
    assert sorted(json.loads(box["data-args"])[0]) == sorted(map(str, licences))
    assert "Collect from 3 licences" in page.text
    assert not calls_of(page, "split") and not calls_of(page, "withdraw")


def test_income_of_many_licences_is_collected_in_batches(signed_in, publisher, listed, vesting, read, monkeypatch):
    monkeypatch.setattr("marketplace.storefront.income.BATCH", 2)
    market, client = listed.market, signed_in(publisher)
    for _ in range(2 * BATCHES_SHOWN + 1):
        market.buy(vesting)
    market.warp(DAY)
    market.index()
    page = read(client.get("/my/models/"))
    boxes = calls_of(page, "collect")
    assert [len(json.loads(box["data-args"])[0]) for box in boxes] == [2] * BATCHES_SHOWN
    assert "1 more licences after these" in page.text
    assert market.read("LicenceMarket", "BATCH", []) == BATCH


def test_income_says_who_shares_in_the_order_of_the_split(signed_in, publisher, listed, read):
    market, client = listed.market, signed_in(publisher)
    child = market.publish(b"\x0c" * 32, parents=[(listed.model_id, 1250)])
    market.add_plan(child, operatorId=market.operator_id, serviceBps=1000)
    market.buy(child << 32 | 1)
    market.index()
    text = read(client.get("/my/models/")).text
    shares = f"operator {market.operator_id} 10 %, model {listed.model_id} 12.5 % of the rest, this model what is left"
    assert shares in text
    assert "Its income pays Scales 12.5 %" in text
    assert f"Made from it Model {child} pays 12.5 %" in text


def test_plan_form_carries_the_fee_of_now_and_this_sites_operator(signed_in, publisher, listed, read):
    market, client = listed.market, signed_in(publisher)
    market.send("LicenceMarket", "setFeeBps", [150], by=market.admin)
    page = read(client.get("/my/models/"))
    (form,) = [tag for tag in page.all("form") if "data-add-plan" in tag]
    assert form["data-fee-bps"] == "150"
    assert "The protocol's fee is 1.5 % now" in page.text


def test_plan_form_without_the_node_says_that_plans_cannot_be_added(signed_in, publisher, listed, read, monkeypatch):
    def down() -> None:
        raise NodeUnavailable("The chain node does not answer.")

    monkeypatch.setattr("marketplace.storefront.views.mine.chain.market_settings", down)
    page = read(signed_in(publisher).get("/my/models/"))
    assert "Plans cannot be added now" in page.text
    assert not [tag for tag in page.all("form") if "data-add-plan" in tag]
