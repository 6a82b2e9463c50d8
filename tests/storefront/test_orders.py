"""What the page says of a transaction: each state has its own words, and only the index says bought."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from chain.gateway.errors import NodeUnavailable
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.transactions import call_data
from marketplace.licences.models import Licence
from marketplace.orders import services
from marketplace.orders.models import Order, OrderState
from marketplace.orders.words import WORDS
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


def test_order_is_bought_when_the_index_saw_the_log_and_final_when_the_chain_says_so(
    signed_in, buyer, bought, listed, read
):
    market, client = listed.market, signed_in(buyer)
    market.mine(2)
    market.index()
    response = client.get(f"/orders/{bought.pk}/state/?seen=mined")
    text = read(response).text
    assert "Bought: the licence is yours." in text
    assert f"In block {int(market.anvil.rpc('eth_blockNumber'), 16) - 2}, 3 confirmations." in text
    assert "?seen=seen" in response.content.decode(), "a re-org may still take it back"
    (link,) = [tag["href"] for tag in read(response).all("a")]
    assert link.startswith(f"{listed.url}?licence=")
    assert client.get(f"/orders/{bought.pk}/state/?seen=seen").status_code == 204
    market.mine(70)
    market.index()
    response = client.get(f"/orders/{bought.pk}/state/?seen=seen")
    assert ", final." in read(response).text
    assert "hx-get" not in response.content.decode()


def test_order_that_a_reorg_removed_says_what_to_do(signed_in, buyer, bought, listed, read):
    market, client = listed.market, signed_in(buyer)
    market.index()
    assert "1 confirmation." in read(client.get(f"/orders/{bought.pk}/state/")).text
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine()
    market.index()
    page = client.get(f"/orders/{bought.pk}/state/?seen=seen")
    assert 'data-order-state="reorged"' in page.content.decode()
    assert "Nothing is lost" in read(page).text
    assert "Bought" not in read(page).text


def test_order_poll_that_saw_the_state_gets_no_content(signed_in, buyer, bought):
    assert signed_in(buyer).get(f"/orders/{bought.pk}/state/?seen=mined").status_code == 204


def test_order_that_no_node_heard_of_is_sent(signed_in, buyer, listed):
    order, _ = services.order_record(account=buyer, tx_hash="0x" + "ab" * 32, kind="buy", plan_id=listed.plan_id)
    response = signed_in(buyer).get(f"/orders/{order.pk}/state/")
    assert 'data-order-state="sent"' in response.content.decode()


def test_order_that_the_contract_refused_shows_the_reason(signed_in, buyer, listed, read):
    market = listed.market
    request = call_data("LicenceMarket", "buy", [listed.plan_id, b"\x00" * 32, buyer.address])
    sent = {"from": buyer.address, "gas": hex(500_000), **request.wallet_params()}
    tx_hash = market.anvil.mined(market.anvil.rpc("eth_sendTransaction", sent))
    order, _ = services.order_record(account=buyer, tx_hash=tx_hash, kind="buy", plan_id=listed.plan_id)
    client = signed_in(buyer)
    response = client.get(f"/orders/{order.pk}/state/")
    assert 'data-order-state="reverted"' in response.content.decode()
    assert "The contract refused the transaction: " in read(response).text
    assert "are not those that you agreed to" in read(response).text


def test_order_while_the_node_is_down_says_so_and_is_not_changed(signed_in, buyer, bought, read, settings):
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    response = signed_in(buyer).get(f"/orders/{bought.pk}/state/")
    assert "does not answer" in read(response).text
    bought.refresh_from_db()
    assert bought.state == "sent"


def test_order_before_the_wallet_answered_waits_for_it(signed_in, buyer, listed, read):
    order = services.order_intend(account=buyer, kind="buy", plan_id=listed.plan_id)
    response = signed_in(buyer).get(f"/orders/{order.pk}/state/")
    assert 'data-order-state="intent"' in response.content.decode()
    assert "Waiting for your wallet" in read(response).text
    assert "transaction" not in read(response).text


def test_order_polled_by_many_pages_asks_the_node_once_a_second(signed_in, buyer, bought, monkeypatch):
    asked = []
    real = JsonRpcGateway.request_many

    def request_many(gateway, calls):
        asked.extend(method for method, _ in calls)
        return real(gateway, calls)

    monkeypatch.setattr(JsonRpcGateway, "request_many", request_many)
    monkeypatch.setattr("marketplace.orders.services.following.CHECK_INTERVAL", timedelta(hours=1))
    for _ in range(3):
        signed_in(buyer).get(f"/orders/{bought.pk}/state/")
    assert asked.count("eth_getTransactionReceipt") == 1


@pytest.mark.parametrize("state", [state for state in OrderState if state != OrderState.SEEN])
def test_order_in_every_state_has_words_of_its_own(signed_in, buyer, bought, read, state):
    now = timezone.now() + timedelta(minutes=1)
    Order.objects.update(followed_state=state, checked_at=now, block_number=5, block_hash="0x" + "ab" * 32)
    response = signed_in(buyer).get(f"/orders/{bought.pk}/state/")
    assert f'data-order-state="{state}"' in response.content.decode()
    expected = "In block 5" if state == "mined" else WORDS[state]
    assert expected in read(response).text
    assert "Bought" not in read(response).text


def test_order_states_all_have_words_that_differ():
    assert set(WORDS) == set(OrderState)
    assert len(set(WORDS.values())) == len(WORDS)


def test_order_of_somebody_else_is_not_found(signed_in, outsider, bought):
    assert signed_in(outsider).get(f"/orders/{bought.pk}/state/").status_code == 404


def test_licences_page_shows_purchases_on_their_way(signed_in, buyer, bought, listed, read):
    client = signed_in(buyer)
    assert "Waiting for the index" in read(client.get("/licences/")).text
    listed.market.index()
    text = read(client.get("/licences/")).text
    assert "Scales" in text
    assert "Waiting for the index" not in text


def test_licences_page_shows_what_the_wallet_was_asked_and_not_what_it_rejected(signed_in, buyer, listed, read):
    order = services.order_intend(account=buyer, kind="buy", plan_id=listed.plan_id)
    client = signed_in(buyer)
    assert "Waiting for your wallet" in read(client.get("/licences/")).text
    services.order_reject(order=order)
    assert "Purchases on their way" not in read(client.get("/licences/")).text


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
