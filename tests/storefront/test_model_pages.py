"""The list of models and a model's page."""

import pytest

from models_registry.models import ReleaseState
from tests.storefront.conftest import release_make


def test_list_shows_listed_models_with_their_price(anonymous, listed, read):
    text = read(anonymous.get("/")).text
    assert "Scales" in text
    assert "2.5 TestUSD for 30 days" in text


def test_list_leaves_out_what_was_not_checked(anonymous, listed, read):
    release_make("0x" + "77" * 32, listed.market.publisher, name="Hasty", state=ReleaseState.CHECKING)
    listed.market.publish("0x" + "77" * 32)
    listed.market.index()
    assert "Hasty" not in read(anonymous.get("/")).text


@pytest.mark.parametrize(("query", "found"), [("weighs", True), ("SCALE", True), ("nothing-like-it", False)])
def test_list_is_searched_by_name_and_summary(anonymous, listed, read, query, found):
    text = read(anonymous.get("/", {"q": query})).text
    assert ("Scales" in text) is found
    assert ("No model fits" in text) is not found


def test_list_filters_by_task(anonymous, listed, read):
    assert "Scales" in read(anonymous.get("/", {"task": "feature-extraction"})).text
    assert "Scales" not in read(anonymous.get("/", {"task": "text-generation"})).text


def test_list_without_models_invites_to_publish(anonymous, market, db, read):
    market.index()
    assert "No models yet" in read(anonymous.get("/")).text


def test_list_with_a_foreign_cursor_is_refused_in_words(anonymous, db, read):
    response = anonymous.get("/", {"after": "x"})
    assert response.status_code == 400
    assert "cursor.invalid" in read(response).text


def test_list_shows_pages_of_twenty_four(anonymous, market, db, read):
    for index in range(25):
        digest = "0x" + f"{index + 1:02x}" * 32
        release_make(digest, market.publisher, name=f"Model number {index}")
        market.publish(digest)
    market.index()
    first = anonymous.get("/")
    assert len(read(first).all("article")) == 24
    following = [link["href"] for link in read(first).all("a") if link.get("rel") == "next"]
    second = read(anonymous.get("/" + following[0]))
    assert len(second.all("article")) == 1
    assert "Model number 0" in second.text


def test_model_page_shows_card_releases_and_terms(anonymous, listed, read):
    page = read(anonymous.get(listed.url))
    assert "Words of the publisher." in page.text
    assert listed.release.root_cid in anonymous.get(listed.url).content.decode()
    plan_hash = listed.market.read("LicenceMarket", "planHash", [listed.plan_id])
    assert plan_hash in anonymous.get(listed.url).content.decode()
    assert "https://images.example/plot.png" in {link.get("href") for link in page.all("a")}


def test_model_page_offers_the_exact_terms_to_the_wallet(signed_in, buyer, listed, read):
    page = read(signed_in(buyer).get(listed.url))
    (box,) = [attributes for _tag, attributes in page.tags if "data-buy" in attributes]
    assert box["data-plan"] == str(listed.plan_id)
    assert box["data-price"] == "2500000"
    assert box["data-token"] == listed.market.usd
    assert box["data-plan-hash"] == listed.market.read("LicenceMarket", "planHash", [listed.plan_id])


def test_model_page_of_a_retired_plan_sells_nothing(anonymous, listed, read):
    listed.market.send("LicenceMarket", "retirePlan", [listed.plan_id], by=listed.market.publisher)
    listed.market.index()
    assert "sells no licence" in read(anonymous.get(listed.url)).text


def test_model_page_of_a_sold_out_plan_says_so(signed_in, buyer, listed, read):
    plan_id = listed.market.add_plan(listed.model_id, supply=1)
    listed.market.buy(plan_id, by=listed.market.outsider)
    listed.market.index()
    assert "Sold out" in read(signed_in(buyer).get(listed.url)).text


def test_unchecked_model_shows_and_says_that_it_cannot_run(signed_in, buyer, market, db, read):
    release_make("0x" + "99" * 32, market.publisher, state=ReleaseState.CHECKING, notice="Waits for a worker.")
    model_id = market.publish("0x" + "99" * 32)
    market.index()
    text = read(signed_in(buyer).get(f"/models/{model_id}/")).text
    assert "unchecked" in text
    assert "Waits for a worker." in text
    assert "Only a checked release can run." in text


def test_copied_digest_is_shown_as_not_listed(anonymous, listed, read):
    model_id = listed.market.publish(listed.release.digest, by=listed.market.outsider)
    listed.market.index()
    text = read(anonymous.get(f"/models/{model_id}/")).text
    assert "names another publisher" in text
    assert "Scales" not in text


def test_run_form_is_for_holders_alone(signed_in, listed, holder, outsider, anonymous, read):
    run_url = f"{listed.url}run/"
    assert run_url in {form.get("action") for form in read(signed_in(holder).get(listed.url)).all("form")}
    for client in (signed_in(outsider), anonymous):
        assert run_url not in {form.get("action") for form in read(client.get(listed.url)).all("form")}
    assert "holds no valid licence" in read(signed_in(outsider).get(listed.url)).text
