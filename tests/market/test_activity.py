"""What happened on a real chain, as feeds tell it: pages of events, sentences, and the API."""

import pytest

from chain import activity
from chain.models import ChainEvent, EventSubject, Topic
from marketplace.licences import selectors
from marketplace.licences.selectors.sentences import NAME_MAX, name_clean
from models_registry.models import PublishedRelease, Release, ReleaseState
from tests.fixtures.contracts import RENEWABLE, RUN, TRANSFERABLE
from tests.reorg.test_handlers import busy_market

pytestmark = pytest.mark.django_db
# Keys, events, models with owners and releases, plans, and the state of the stream.
QUERIES_OF_A_PAGE = 9


def short(address: str) -> str:
    return f"{address[:6]}…{address[-4:]}"


def texts(page: selectors.ActivityPage) -> list[str]:
    return [entry.text for entry in page.entries]


def test_feed_of_a_purchase_names_it_once_for_model_holder_and_market(market):
    model_id, _, _ = market.sold_licence()
    market.index()
    bought = ChainEvent.objects.get(name="LicenceBought")
    for keys in (
        activity.events_of_model(model_id, topic=Topic.PURCHASE, limit=5),
        activity.events_of_account(market.buyer, limit=5),
        activity.events_of_market(topic=Topic.PURCHASE, limit=5),
        activity.events_of_market(limit=1),
    ):
        assert keys == [bought.pk], "minting the token is no event of its own"


def test_feed_walks_down_page_by_page_and_ends(market):
    model_id, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    market.index()
    whole = activity.events_of_model(model_id, limit=50)
    assert whole == sorted(whole, reverse=True)
    pages, before = [], None
    while page := activity.events_of_model(model_id, before=before, limit=2):
        pages += page
        before = page[-1]
    assert pages == whole
    assert activity.events_of_model(model_id + 1, limit=5) == []


def test_feed_loses_what_a_reorg_removes(market):
    model_id, _, _ = market.sold_licence()
    market.index()
    before = EventSubject.objects.count()
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert EventSubject.objects.count() == before - 2
    assert activity.events_of_model(model_id, topic=Topic.PURCHASE, limit=5) == []


@pytest.fixture
def named(market) -> int:
    """A listed model called MiniLM, on sale for 2 TestUSD. Its id."""
    digest = "0x" + "5a" * 32
    Release.objects.create(digest=digest, state=ReleaseState.READY, publisher=market.publisher, name="MiniLM")
    model_id = market.publish(digest)
    market.add_plan(model_id, token=market.usd, price=2_000_000, flags=RUN | TRANSFERABLE | RENEWABLE, period=3600)
    market.index()
    assert PublishedRelease.objects.get().is_listable
    return model_id


def test_sentences_say_who_did_what_to_which_model_for_how_much(market, named):
    plan_id = named << 32 | 1
    licence_id = market.buy(plan_id)
    market.buy(plan_id, recipient=market.outsider)
    market.renew(licence_id)
    market.send("LicenceMarket", "transferFrom", [market.buyer, market.outsider, licence_id], by=market.buyer)
    market.split(plan_id)
    market.withdraw(named, token=market.usd)
    market.suspend(named)
    market.index()
    buyer, outsider, publisher = short(market.buyer), short(market.outsider), short(market.publisher)
    assert texts(selectors.activity_of_model(named)) == [
        "MiniLM was suspended by the guardian",
        f"6 TestUSD of income of MiniLM was withdrawn to {publisher}",
        "6 TestUSD of income of plan 1 of MiniLM was shared out",
        f"{buyer} passed a licence of MiniLM on to {outsider}",
        f"{buyer} renewed a licence of MiniLM for 2 TestUSD",
        f"{buyer} bought a licence of MiniLM under plan 1 for 2 TestUSD, for {outsider}",
        f"{buyer} bought a licence of MiniLM under plan 1 for 2 TestUSD",
        "MiniLM is on sale under plan 1 for 2 TestUSD",
        "Release 1 of MiniLM was published",
        f"{publisher} published MiniLM",
    ]
    assert texts(selectors.activity_of_account(market.outsider)) == [
        f"{buyer} passed a licence of MiniLM on to {outsider}",
        f"{buyer} bought a licence of MiniLM under plan 1 for 2 TestUSD, for {outsider}",
    ]


def test_every_event_that_feeds_show_reads_as_a_sentence_of_its_own(market):
    busy_market(market)
    market.index()
    entries = selectors.activity_of_market(limit=100).entries
    assert {entry.event.name for entry in entries} >= {
        "OperatorChanged",
        "TokenAllowed",
        "PausedSet",
        "AncestorCredited",
    }
    for entry in entries:
        assert "LicenceMarket." not in entry.text
        assert "ModelRegistry." not in entry.text
        assert not entry.text[0].islower() or entry.parts[0].kind in ("account", "model")


def test_name_of_a_model_cannot_reorder_hide_or_flood_a_sentence():
    assert name_clean("a\u202eb\u200bc\nd\x00e") == "abc d e"
    assert name_clean("x" * 500) == "x" * (NAME_MAX - 1) + "…"
    assert name_clean("\u200b\n") == ""


def test_page_takes_the_same_few_queries_however_much_is_on_it(market, named, django_assert_max_num_queries):
    plan_id = named << 32 | 1
    for _ in range(4):
        market.buy(plan_id)
    market.index()
    with django_assert_max_num_queries(QUERIES_OF_A_PAGE):
        assert len(selectors.activity_of_model(named).entries) == 7
    # One look for each name of the topic.
    with django_assert_max_num_queries(QUERIES_OF_A_PAGE + 1):
        assert len(selectors.activity_of_market(topic=Topic.PURCHASE).entries) == 4


def test_api_gives_the_feed_in_pages_with_place_finality_and_link(market, named, client, settings):
    settings.EXPLORER_URLS = ["https://explorer.example"]
    market.buy(named << 32 | 1)
    market.index()
    first = client.get(f"/api/v1/models/{named}/activity", {"limit": 2})
    entry = first.json()["results"][0]
    assert (entry["kind"], entry["event"], entry["model"]) == ("purchase", "LicenceBought", str(named))
    assert (entry["accounts"], entry["args"]["price"]) == ([market.buyer], "2000000")
    assert entry["finality"]["tier"] == "confirmed"
    assert entry["explorer_url"] == f"https://explorer.example/tx/{entry['tx_hash']}"
    following = first["Link"].split(";")[0].strip("<>")
    rest = client.get(following).json()
    assert [row["event"] for row in rest["results"]] == ["ReleasePublished", "ModelPublished"]
    assert rest["next_cursor"] == ""


def test_api_feed_of_one_kind_holds_that_kind_alone(market, named, client):
    market.buy(named << 32 | 1)
    market.index()
    for path in ("/api/v1/activity", f"/api/v1/models/{named}/activity", f"/api/v1/accounts/{market.buyer}/activity"):
        rows = client.get(path, {"kind": "purchase"}).json()["results"]
        assert [row["event"] for row in rows] == ["LicenceBought"], path
    assert client.get("/api/v1/activity", {"kind": "gossip"}).json()["code"] == "request.invalid"


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 19, "١"])
def test_api_feed_refuses_a_cursor_that_it_did_not_give(db, client, cursor):
    response = client.get("/api/v1/activity", {"after": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid")


def test_api_feed_of_an_unknown_model_is_not_found_and_of_an_unknown_address_empty(db, client):
    assert client.get("/api/v1/models/987654321/activity").json()["code"] == "model.not_found"
    assert client.get("/api/v1/accounts/0x" + "ab" * 20 + "/activity").json() == {"results": [], "next_cursor": ""}
