"""A licence's own page: what has vested, what comes back, and what may be done with it, state by state."""

import json
import re

import pytest

from chain.gateway.errors import NodeUnavailable
from marketplace.storefront.leaving import PROMISE_S

DAY = 86_400
MONTH = 30 * DAY
RUN, TRANSFERABLE, RENEWABLE = 1, 4, 8


@pytest.fixture
def month(listed, buyer):
    """`(licence id, market)`: a month for 5 TestUSD, 5 % at once, that vests until it expires, held by the buyer."""
    market = listed.market
    plan = market.add_plan(
        listed.model_id,
        token=market.usd,
        price=5_000_000,
        period=MONTH,
        vesting=MONTH,
        entryBps=500,
        flags=RUN | TRANSFERABLE | RENEWABLE,
    )
    licence = market.buy(plan)
    market.index()
    return licence, market


@pytest.fixture
def metered(listed, buyer):
    """`(licence id, market)`: 100 calls for 1 TestUSD, vesting over 30 days or by use."""
    market = listed.market
    plan = market.add_plan(
        listed.model_id,
        token=market.usd,
        price=1_000_000,
        vesting=MONTH,
        calls=100,
        operatorId=market.operator_id,
        serviceBps=2000,
        flags=RUN | RENEWABLE,
    )
    licence = market.buy(plan)
    market.index()
    return licence, market


def refund_of(page) -> dict[str, int]:
    """The figures of the refund as the page states them, in the smallest unit and unix seconds."""
    found = {}
    for _tag, attributes in page.tags:
        for name in ("data-refund", "data-block-time", "data-refund-least", "data-least-until"):
            if name in attributes:
                found[name.removeprefix("data-")] = int(attributes[name])
    return found


def call_of(page, name: str) -> dict[str, str]:
    (box,) = [tag for _name, tag in page.tags if tag.get("data-call") == name]
    return box


def state_of(page) -> str:
    (badge,) = [tag for _name, tag in page.tags if "data-licence-state" in tag]
    return badge["data-licence-state"]


def test_licence_page_states_the_refund_of_the_newest_block_to_the_unit(signed_in, buyer, month, read):
    licence, market = month
    start = market.now
    market.warp(10 * DAY)
    market.index()
    refund = refund_of(read(signed_in(buyer).get(f"/licences/{licence}/")))
    held = 4_750_000
    assert refund["block-time"] == market.now
    assert refund["refund"] == held - held * (market.now - start) // MONTH


def test_licence_page_promises_what_a_cancellation_up_to_ten_minutes_later_pays(signed_in, buyer, month, read):
    licence, market = month
    market.warp(3 * DAY)
    market.index()
    refund = refund_of(read(signed_in(buyer).get(f"/licences/{licence}/")))
    assert refund["least-until"] % 60 == 0
    assert PROMISE_S <= refund["least-until"] - market.now < PROMISE_S + 60
    before = market.read("TestUSD", "balanceOf", [buyer.address])
    market.next_block_at(refund["least-until"])
    market.cancel(licence)
    assert market.read("TestUSD", "balanceOf", [buyer.address]) - before == refund["refund-least"]
    assert refund["refund-least"] < refund["refund"]


def test_licence_page_draws_the_term_without_script_or_style(anonymous, month, read):
    licence, market = month
    market.warp(15 * DAY)
    market.index()
    response = anonymous.get(f"/licences/{licence}/")
    page = read(response)
    (picture,) = page.all("svg")
    assert picture["role"] == "img" and picture["aria-labelledby"] == "vesting-title vesting-text"
    names = {path["class"]: path["d"] for path in page.all("path")}
    assert set(names) == {"back", "vested", "future", "past", "now", "dot"}
    assert re.fullmatch(r"M500(\.\d)? 0L500(\.\d)? 400", names["now"])
    assert not [tag for _name, tag in page.tags if "style" in tag]
    assert "Vested, the publisher's: 2.375" in page.text and "Not vested, yours: 2.37" in page.text


def test_licence_page_of_a_stranger_offers_no_cancellation(signed_in, outsider, anonymous, month, read):
    licence, _market = month
    for client in (signed_in(outsider), anonymous):
        page = read(client.get(f"/licences/{licence}/"))
        assert "Cancel this licence" not in page.text
        assert state_of(page) == "valid"
    response = signed_in(outsider).get(f"/licences/{licence}/cancel/")
    assert (response.status_code, response.url) == (302, f"/licences/{licence}/")


def test_cancel_page_says_what_comes_back_before_anything_is_signed(signed_in, buyer, month, read):
    licence, market = month
    market.warp(6 * DAY)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/cancel/"))
    box = call_of(page, "cancel")
    assert json.loads(box["data-args"]) == [str(licence), buyer.address]
    assert box["data-kind"] == "cancel"
    assert refund_of(page)["refund"] == refund_of(read(signed_in(buyer).get(f"/licences/{licence}/")))["refund"]
    assert "exactly, in block" in page.text and "A cancelled licence cannot be brought back." in page.text


def test_refund_fragment_is_what_the_chain_says_now(signed_in, buyer, month, read):
    licence, market = month
    first = refund_of(read(signed_in(buyer).get(f"/licences/{licence}/refund/")))
    market.warp(DAY)
    second = refund_of(read(signed_in(buyer).get(f"/licences/{licence}/refund/")))
    assert second["refund"] < first["refund"]
    assert second["block-time"] == market.now


def test_licence_page_offers_to_renew_and_says_what_becomes_of_the_rest(signed_in, buyer, month, read):
    licence, market = month
    market.warp(6 * DAY)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    box = call_of(page, "renew")
    assert (box["data-pay-token"], box["data-pay-price"], box["data-value"]) == (market.usd, "5000000", "0")
    # 24 of 30 days are left of 4.75, and 4.75 of the new price are held: 3.8 + 4.75.
    assert "it is held on together with 4.75 TestUSD of the new price, about 8.5" in page.text
    market.renew(licence)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert refund_of(page)["refund"] == pytest.approx(8_550_000, abs=100)


def test_licence_page_of_a_retired_plan_renews_nothing_and_says_why(signed_in, buyer, publisher, month, read):
    licence, market = month
    market.send("LicenceMarket", "retirePlan", [licence >> 32], by=market.publisher)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert "The publisher retired this plan" in page.text
    assert "renew" not in {tag.get("data-call") for _name, tag in page.tags}


def test_licence_page_while_the_market_is_paused_still_offers_to_leave(signed_in, buyer, month, read):
    licence, market = month
    market.send("LicenceMarket", "setPaused", [True], by=market.pauser)
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert "Renewing is paused at the market" in page.text
    assert "Cancel this licence" in page.text


def test_licence_page_of_a_suspended_model_says_that_time_stands_still(signed_in, buyer, month, listed, read):
    licence, market = month
    market.warp(DAY)
    market.suspend(listed.model_id)
    market.index()
    first = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert state_of(first) == "suspended"
    assert "its clock stands" in first.text and "nothing is renewed until that ends" in first.text
    market.warp(2 * DAY)
    market.index()
    second = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert refund_of(second)["refund"] == refund_of(first)["refund"]
    # The guardian may end it in the next block: what is promised does not count on the suspension.
    assert 0 < refund_of(second)["refund"] - refund_of(second)["refund-least"] < 5_000
    assert "settle" not in {tag.get("data-call") for _name, tag in second.tags}


def test_licence_page_of_a_model_suspended_for_ninety_days_offers_to_settle(signed_in, outsider, month, listed, read):
    licence, market = month
    market.suspend(listed.model_id)
    market.send("LicenceMarket", "confirmSuspension", [listed.model_id], by=market.admin)
    market.warp(90 * DAY)
    market.index()
    page = read(signed_in(outsider).get(f"/licences/{licence}/"))
    assert json.loads(call_of(page, "settle")["data-args"]) == [str(licence), market.buyer]


def test_licence_page_of_an_expired_licence_has_nothing_to_give_back(signed_in, buyer, month, read):
    licence, market = month
    market.warp(MONTH)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert state_of(page) == "expired"
    assert refund_of(page)["refund"] == 0
    assert "All of the 4.75 TestUSD has vested" in page.text


def test_licence_page_of_a_plan_that_vests_at_once_says_that_nothing_comes_back(signed_in, buyer, holder, listed, read):
    page = read(signed_in(buyer).get(f"/licences/{listed.plan_id << 32 | 1}/"))
    assert "nothing is held, and cancelling pays nothing back" in page.text
    assert not page.all("svg")
    assert refund_of(page) == {}


def test_metered_licence_shows_what_calls_alone_have_vested(signed_in, buyer, metered, read):
    licence, market = metered
    market.report_usage({licence: 40})
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert "By calls alone: 0.4 TestUSD, 40 of 100 calls of this term reported" in page.text
    assert {path["class"] for path in page.all("path")} >= {"use"}
    assert refund_of(page)["refund"] == 600_000
    assert "unless the operator reports more than the 40 calls" in page.text
    assert f"operator {market.operator_id}" in page.text


def test_cancelled_metered_licence_is_settled_when_the_window_has_passed(signed_in, buyer, outsider, metered, read):
    licence, market = metered
    market.report_usage({licence: 10})
    market.cancel(licence)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert state_of(page) == "cancelled"
    assert "The operator may report calls until" in page.text
    assert "settle" not in {tag.get("data-call") for _name, tag in page.tags}
    assert refund_of(page) == {}

    market.warp(6 * 3600)
    market.index()
    for account in (buyer, outsider):
        page = read(signed_in(account).get(f"/licences/{licence}/"))
        assert json.loads(call_of(page, "settle")["data-args"]) == [str(licence), market.buyer]

    paid = market.settle(licence)
    market.index()
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert state_of(page) == "settled"
    assert paid == 900_000 and "Settled: 0.9 TestUSD came back." in page.text
    assert "nobody: the token is burned" in page.text


def test_licences_page_links_to_the_money_and_keeps_what_was_settled(signed_in, buyer, month, read):
    licence, market = month
    page = read(signed_in(buyer).get("/licences/"))
    assert f"/licences/{licence}/" in {link["href"] for link in page.all("a")}
    market.warp(DAY)
    market.cancel(licence)
    market.index()
    text = read(signed_in(buyer).get("/licences/")).text
    assert "Settled" in text and "4.59" in text
    assert "No licences now" in text


def test_licence_page_without_the_node_shows_what_the_index_knows(signed_in, buyer, month, read, monkeypatch):
    licence, _market = month

    def down(_ids: object, **_more: object) -> None:
        raise NodeUnavailable("The chain node does not answer.")

    monkeypatch.setattr("marketplace.licences.selectors.detail.entitlements.licence_states_now", down)
    page = read(signed_in(buyer).get(f"/licences/{licence}/"))
    assert "The money is asked of the chain, and that failed" in page.text
    assert "Scales" in page.text
    assert signed_in(buyer).get(f"/licences/{licence}/refund/").status_code == 503


@pytest.mark.parametrize("path", ["", "refund/"])
def test_licence_that_nobody_bought_is_not_found(anonymous, listed, read, path):
    response = anonymous.get(f"/licences/{(listed.plan_id << 32) + 77}/{path}")
    assert response.status_code == 404
    assert "licence.not_found" in read(response).text


def test_refund_fragment_of_a_licence_that_is_over_says_so_and_stops_asking(signed_in, buyer, month, read):
    licence, market = month
    market.cancel(licence)
    response = signed_in(buyer).get(f"/licences/{licence}/refund/")
    assert "reload the page" in read(response).text
    assert "hx-get" not in response.content.decode()


def test_free_plan_says_that_nothing_is_paid_and_nothing_comes_back(anonymous, listed, read):
    listed.market.add_plan(listed.model_id, price=0, period=MONTH, vesting=MONTH)
    listed.market.index()
    assert "Free: nothing is paid, and nothing comes back." in read(anonymous.get(listed.url)).text


def test_licence_page_seen_by_many_asks_the_node_once_per_block(
    anonymous, signed_in, buyer, outsider, month, counted_node, clean_broker, settings
):
    settings.HEAD_MAX_AGE_S = 60
    licence, market = month
    views = [
        (client, path) for client in (signed_in(buyer), signed_in(outsider), anonymous) for path in ("", "refund/")
    ]
    answers = []
    for client, path in views * 3:
        assert client.get(f"/licences/{licence}/{path}").status_code == 200
        answers.append(dict(counted_node.counts))
    assert answers[-1] == answers[1], "the first page and the first fragment asked for all"
    market.mine()
    market.index()
    counted_node.forget()
    for client, path in views:
        assert client.get(f"/licences/{licence}/{path}").status_code == 200
    assert dict(counted_node.counts) == {name: n for name, n in answers[-1].items() if name != "eth_chainId"}
