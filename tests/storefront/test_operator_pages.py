"""Operators on pages: who they are, what relies on them, what they are paid."""

import json

import pytest

from chain.gateway.errors import NodeUnavailable
from marketplace.accounts.models import Account
from tests.fixtures.contracts import NATIVE

RUN = 1
DAY = 86_400


@pytest.fixture
def payee(listed, db) -> Account:
    return Account.objects.create(address=listed.market.operator_payee)


@pytest.fixture
def served(listed) -> int:
    """A plan for 1,000 wei that vests at once and pays the operator 30 %, sold once. Its id."""
    market = listed.market
    plan = market.add_plan(listed.model_id, operatorId=market.operator_id, serviceBps=3000)
    market.buy(plan)
    market.index()
    return plan


def calls_of(page, name: str) -> list[dict[str, str]]:
    return [tag for _name, tag in page.tags if tag.get("data-call") == name]


def test_operator_page_shows_the_plans_that_rely_on_it_to_anybody(anonymous, listed, served, read):
    market = listed.market
    page = read(anonymous.get(f"/operators/{market.operator_id}/"))
    assert "Scales" in page.text and "30 %" in page.text
    for address in (market.operator_owner, market.operator_key, market.operator_payee):
        assert address in {tag.get("title") for tag in page.all("code")}
    assert not calls_of(page, "setOperator") and not calls_of(page, "withdrawAccount")


def test_operator_page_shows_what_a_split_would_credit_and_then_the_credit(signed_in, payee, listed, served, read):
    market = listed.market
    url = f"/operators/{market.operator_id}/"
    assert "Not split yet 0.0000000000000003 ETH" in read(signed_in(payee).get(url)).text
    market.split(served)
    market.index()
    page = read(signed_in(payee).get(url))
    assert "Earned by service 0.0000000000000003 ETH" in page.text
    (box,) = calls_of(page, "withdrawAccount")
    assert json.loads(box["data-args"]) == [NATIVE, payee.address]
    assert calls_of(read(signed_in(payee).get("/operators/")), "withdrawAccount")
    assert market.withdraw_account(by=payee.address) == 300
    market.index()
    assert not calls_of(read(signed_in(payee).get(url)), "withdrawAccount")


def test_operator_page_lets_its_owner_alone_change_it(signed_in, outsider, listed, read):
    market = listed.market
    operator = market.register_operator(by=market.outsider)
    market.index()
    (form,) = calls_of(read(signed_in(outsider).get(f"/operators/{operator}/")), "setOperator")
    assert json.loads(form["data-args"]) == [str(operator)]
    assert not calls_of(read(signed_in(outsider).get(f"/operators/{market.operator_id}/")), "setOperator")


def test_operators_page_lists_ones_own_and_offers_to_register(signed_in, outsider, listed, read):
    market = listed.market
    assert "Your address has registered none." in read(signed_in(outsider).get("/operators/")).text
    operator = market.register_operator(by=market.outsider)
    market.index()
    page = read(signed_in(outsider).get("/operators/"))
    assert [tag["data-operator"] for tag in page.all("tr") if "data-operator" in tag] == [str(operator)]
    assert calls_of(page, "registerOperator")


def test_disabled_operator_is_said_to_be_on_its_page_and_on_its_plans(anonymous, listed, served, read):
    market, operator = listed.market, listed.market.operator_id
    market.send("LicenceMarket", "disableOperator", [operator], by=market.guardian)
    market.index()
    assert "what it reports does not count any more" in read(anonymous.get(f"/operators/{operator}/")).text
    assert "operator disabled" in read(anonymous.get(listed.url)).text


def test_plan_whose_operator_is_the_publisher_is_labelled(anonymous, listed, read):
    market = listed.market
    operator = market.register_operator(by=market.publisher)
    market.add_plan(listed.model_id, calls=10, vesting=DAY, operatorId=operator)
    market.index()
    page = read(anonymous.get(listed.url))
    assert "operator is the publisher" in page.text
    assert "Calls are counted by the publisher itself." in page.text


def test_operator_that_nobody_registered_is_not_found(anonymous, listed, read):
    response = anonymous.get("/operators/987654/")
    assert response.status_code == 404
    assert "operator.not_found" in read(response).text


def test_operator_page_without_the_node_shows_what_the_index_knows(anonymous, listed, read, monkeypatch):
    operator = listed.market.operator_id

    def down(*_args: object) -> None:
        raise NodeUnavailable("The chain node does not answer.")

    monkeypatch.setattr("marketplace.storefront.views.operators.chain.site_operator_id", down)
    monkeypatch.setattr("marketplace.licences.selectors.operators.chain.account_credits", down)
    page = read(anonymous.get(f"/operators/{operator}/"))
    assert "The money is asked of the chain, and that failed" in page.text
    assert listed.market.operator_payee in {tag.get("title") for tag in page.all("code")}
