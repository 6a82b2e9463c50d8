"""What the page says of a transaction: each state has its own words, and only the index says bought."""

import json

import pytest

from chain.gateway.errors import NodeUnavailable
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.transactions import call_data
from marketplace.licences.models import Licence
from marketplace.orders import services
from tests.fixtures.contracts import Market


@pytest.fixture
def bought(listed, buyer):
    """A purchase that is in a block and that the index has not seen."""
    market = listed.market
    market.buy(listed.plan_id)
    block = market.anvil.rpc("eth_getBlockByNumber", "latest", False)
    tx_hash = block["transactions"][0]
    order, _ = services.order_record(account=buyer, tx_hash=tx_hash, kind="buy", plan_id=listed.plan_id)
    return order


def test_order_in_a_block_waits_for_the_index(signed_in, buyer, bought, read):
    response = signed_in(buyer).get(f"/orders/{bought.pk}/state/")
    assert 'data-order-state="mined"' in response.content.decode()
    assert "Waiting for the index" in read(response).text
    assert "Bought" not in read(response).text


def test_order_is_bought_when_the_index_saw_the_log(signed_in, buyer, bought, listed, read):
    listed.market.index()
    response = signed_in(buyer).get(f"/orders/{bought.pk}/state/?seen=mined")
    assert "Bought: the licence is yours." in read(response).text
    assert "hx-get" not in response.content.decode()
    (link,) = [tag["href"] for tag in read(response).all("a")]
    assert link.startswith(f"{listed.url}?licence=")


def test_order_poll_that_saw_the_state_gets_no_content(signed_in, buyer, bought):
    assert signed_in(buyer).get(f"/orders/{bought.pk}/state/?seen=mined").status_code == 204


def test_order_that_no_block_holds_is_sent(signed_in, buyer, listed, read):
    order, _ = services.order_record(account=buyer, tx_hash="0x" + "ab" * 32, kind="buy", plan_id=listed.plan_id)
    response = signed_in(buyer).get(f"/orders/{order.pk}/state/")
    assert 'data-order-state="sent"' in response.content.decode()


def test_order_that_the_contract_refused_shows_the_reason(signed_in, buyer, listed, read):
    market = listed.market
    request = call_data("LicenceMarket", "buy", [listed.plan_id, b"\x00" * 32, buyer.address])
    sent = {"from": buyer.address, "gas": hex(500_000), **request.wallet_params()}
    tx_hash = market.gateway.request("eth_sendTransaction", [sent])
    order, _ = services.order_record(account=buyer, tx_hash=tx_hash, kind="buy", plan_id=listed.plan_id)
    client = signed_in(buyer)
    assert 'data-order-state="refused"' in client.get(f"/orders/{order.pk}/state/").content.decode()
    services.orders_follow()
    response = client.get(f"/orders/{order.pk}/state/?seen=refused")
    assert 'data-order-state="reverted"' in response.content.decode()
    assert "The contract refused the transaction: " in read(response).text
    assert "are not those that you agreed to" in read(response).text


def test_order_while_the_node_is_down_says_so(signed_in, buyer, bought, read, settings, monkeypatch):
    def down(_tx_hash: str) -> None:
        raise NodeUnavailable("no answer")

    monkeypatch.setattr("marketplace.storefront.progress.chain.transaction_receipt", down)
    text = read(signed_in(buyer).get(f"/orders/{bought.pk}/state/")).text
    assert "does not answer" in text


def test_order_of_somebody_else_is_not_found(signed_in, outsider, bought):
    assert signed_in(outsider).get(f"/orders/{bought.pk}/state/").status_code == 404


def test_licences_page_shows_purchases_on_their_way(signed_in, buyer, bought, listed, read):
    client = signed_in(buyer)
    assert "Waiting for the index" in read(client.get("/licences/")).text
    listed.market.index()
    text = read(client.get("/licences/")).text
    assert "Scales" in text
    assert "Waiting for the index" not in text


def test_my_models_page_shows_income_and_plans(signed_in, publisher, listed, holder, read):
    page = read(signed_in(publisher).get("/my/models/"))
    assert "2.5 TestUSD" in page.text
    (box,) = [tag for _name, tag in page.tags if tag.get("data-call") == "split"]
    assert box["data-args"] == f'["{listed.plan_id}"]'
    listed.market.split(listed.plan_id)
    listed.market.index()
    page = read(signed_in(publisher).get("/my/models/"))
    (box,) = [tag for _name, tag in page.tags if tag.get("data-call") == "withdraw"]
    assert json.loads(box["data-args"]) == [str(listed.model_id), listed.market.usd, publisher.address]


def test_my_models_page_after_a_transfer_is_the_new_owners(signed_in, publisher, outsider, listed: object, read):
    market: Market = listed.market
    args = [market.publisher, market.outsider, listed.model_id]
    market.send("ModelRegistry", "transferFrom", args, by=market.publisher)
    market.index()
    assert "Scales" not in read(signed_in(publisher).get("/my/models/")).text
    assert "Scales" in read(signed_in(outsider).get("/my/models/")).text


def test_my_models_page_asks_the_chain_as_often_for_many_models_as_for_one(
    signed_in, publisher, listed, read, monkeypatch
):
    asked = []
    batch = JsonRpcGateway.call_many
    monkeypatch.setattr(JsonRpcGateway, "call_many", lambda *args, **more: asked.append(args) or batch(*args, **more))
    client = signed_in(publisher)
    client.get("/my/models/")
    for_one = len(asked)
    for digest in (b"\x07" * 32, b"\x08" * 32):
        listed.market.add_plan(listed.market.publish(digest))
    listed.market.index()
    client.get("/my/models/")
    assert len(asked) == 2 * for_one <= 10
    monkeypatch.setattr("marketplace.storefront.views.mine.MODELS_PER_PAGE", 2)
    assert "Scales" not in read(client.get("/my/models/")).text
    (following,) = [link["href"] for link in read(client.get("/my/models/")).all("a") if link.get("rel") == "next"]
    assert "Scales" in read(client.get(following)).text
    assert client.get("/my/models/?page=" + "9" * 78).status_code == 200


def test_licences_page_is_cut_into_pages(signed_in, holder, listed, read, monkeypatch):
    monkeypatch.setattr("marketplace.storefront.views.mine.LICENCES_PER_PAGE", 1)
    (licence,) = Licence.objects.all()
    newer = listed.market.buy(licence.plan_id, by=holder.address)
    listed.market.index()
    client = signed_in(holder)
    first, second = read(client.get("/licences/")).text, read(client.get("/licences/?page=2")).text
    assert (str(newer) in first, str(licence.licence_id) in first) == (True, False)
    assert str(licence.licence_id) in second


def test_my_models_page_without_the_node_shows_the_rest(signed_in, publisher, listed, read, monkeypatch):
    def down(_model_ids: object) -> None:
        raise NodeUnavailable("The chain node does not answer.")

    monkeypatch.setattr("marketplace.storefront.views.mine.licences.income_for_models", down)
    text = read(signed_in(publisher).get("/my/models/")).text
    assert "Income is asked of the chain, and that failed" in text
    assert "2.5 TestUSD" in text
