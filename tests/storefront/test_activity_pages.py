"""Pages of what happened: of the market, of a model, of an address; and what a licence's page says of finality."""

import pytest

from models_registry.models import Release
from tests.storefront.conftest import PageReader


def hrefs(page: PageReader) -> list[str]:
    return [str(tag["href"]) for tag in page.all("a") if tag.get("href")]


@pytest.fixture
def sold(holder, listed):
    """The listed model, after the buyer bought a licence."""
    return listed


def test_model_page_shows_its_newest_activity_with_links(anonymous, sold, read):
    page = read(anonymous.get(sold.url))
    buyer, licence = sold.market.buyer, sold.plan_id << 32 | 1
    assert f"{buyer[:6]}…{buyer[-4:]} bought a licence of Scales under plan 1 for 2.5 TestUSD" in page.text
    assert "1 confirmation" in page.text
    assert {f"/accounts/{buyer}/", f"/licences/{licence}/", f"{sold.url}#plan-1"} <= set(hrefs(page))


def test_model_page_links_to_all_activity_where_there_is_more(anonymous, sold, read):
    assert f"{sold.url}activity/" not in hrefs(read(anonymous.get(sold.url)))
    for _ in range(8):
        sold.market.buy(sold.plan_id)
    sold.market.index()
    page = read(anonymous.get(sold.url))
    assert f"{sold.url}activity/" in hrefs(page)
    assert len([tag for tag in page.all("li") if "data-activity" in tag]) == 10
    whole = read(anonymous.get(f"{sold.url}activity/"))
    assert len([tag for tag in whole.all("li") if "data-activity" in tag]) == 12


def test_activity_goes_on_on_older_pages_and_keeps_its_kind(anonymous, sold, read):
    for number in range(12):
        sold.market.add_plan(sold.model_id, price=number + 1)
    sold.market.index()
    first = anonymous.get("/activity/?kind=plan")
    events = [tag["data-activity"] for tag in read(first).all("li") if "data-activity" in tag]
    assert events == ["PlanAdded"] * 13
    whole = read(anonymous.get("/activity/"))
    (older,) = [href for href in hrefs(whole) if "after=" in href]
    rest = read(anonymous.get(older))
    seen = [tag["data-activity"] for tag in (*whole.all("li"), *rest.all("li")) if "data-activity" in tag]
    assert len(seen) > 20
    assert seen[-1] in ("TokenAllowed", "PauserSet", "GuardianSet", "OperatorRegistered", "ModelPublished")


def test_account_page_shows_what_an_address_owns_and_did(anonymous, sold, read):
    market = sold.market
    publisher = read(anonymous.get(f"/accounts/{market.publisher}/"))
    assert "Models it owns" in publisher.text
    assert sold.url in hrefs(publisher)
    buyer = read(anonymous.get(f"/accounts/{market.buyer.lower()}/"))
    assert "bought a licence of Scales" in buyer.text
    assert "No event of the market names this address." in read(anonymous.get("/accounts/0x" + "ab" * 20 + "/")).text
    assert anonymous.get("/accounts/0x1234/").status_code == 404


def test_names_of_models_are_text_in_a_feed(anonymous, sold):
    Release.objects.update(name='<script>x</script>" onload="y')
    html = anonymous.get("/activity/").content.decode()
    assert "<script>x" not in html
    assert "&lt;script&gt;x&lt;/script&gt;&quot; onload=&quot;y" in html


def test_feeds_link_to_the_explorer_that_the_site_names_and_to_none_otherwise(anonymous, sold, read, settings):
    tx = sold.market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]
    assert not [href for href in hrefs(read(anonymous.get(sold.url))) if "explorer" in href or "x.example" in href]
    settings.EXPLORER_URLS = ["https://x.example/t/{tx}", "https://x.example/a/{address}"]
    for path in (sold.url, f"{sold.url}activity/", f"/licences/{sold.plan_id << 32 | 1}/"):
        assert f"https://x.example/t/{tx}" in hrefs(read(anonymous.get(path))), path
    assert f"https://x.example/a/{sold.market.buyer}" in hrefs(read(anonymous.get(f"/accounts/{sold.market.buyer}/")))


def test_licence_page_says_how_final_its_purchase_is(anonymous, sold, read):
    path = f"/licences/{sold.plan_id << 32 | 1}/"
    page = read(anonymous.get(path))
    assert [tag["data-finality"] for _, tag in page.tags if "data-finality" in tag] == ["confirmed"]
    sold.market.mine(64)
    sold.market.index()
    page = read(anonymous.get(path))
    assert [tag["data-finality"] for _, tag in page.tags if "data-finality" in tag] == ["final"]


def test_licence_page_between_reorg_and_index_says_that_it_is_missing(anonymous, sold, read):
    sold.market.anvil.rpc("anvil_reorg", 1, [])
    page = read(anonymous.get(f"/licences/{sold.plan_id << 32 | 1}/"))
    assert [tag["data-licence-state"] for _, tag in page.tags if "data-licence-state" in tag] == ["missing"]
    assert "a re-organisation of the chain took its purchase away" in page.text


def test_income_page_says_how_much_is_final(signed_in, publisher, sold, read):
    client = signed_in(publisher)
    sold.market.split(sold.plan_id)
    sold.market.index()
    text = read(client.get("/my/models/")).text
    assert "Of the 2.5 TestUSD credited so far, 0 TestUSD is final and 2.5 TestUSD is not yet" in text
    assert "Buyers paid 2.5 TestUSD in blocks that are not final yet." in text
    sold.market.mine(64)
    sold.market.index()
    text = read(client.get("/my/models/")).text
    assert "Of the 2.5 TestUSD credited so far, 2.5 TestUSD is final ." in text.replace("final.", "final .")
    assert "not yet" not in text


def test_activity_pages_without_any_index_are_empty_pages(anonymous, db, read):
    for path in ("/activity/", "/accounts/0x" + "ab" * 20 + "/"):
        assert anonymous.get(path).status_code == 200
