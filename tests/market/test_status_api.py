"""/status for programs: a stable form, from the database alone, whatever is down."""

import pytest
from django.utils import timezone

from chain.contract_checks import codes_record
from chain.gateway.errors import NodeUnavailable
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.models import ContractCheck, ParkedLog, Stream

pytestmark = pytest.mark.django_db

TOP = {"ok", "checked_at", "streams", "contracts", "contracts_error", "roles", "endpoints"}
STREAM = {
    *(
        "chain_id",
        "ok",
        "head",
        "head_at",
        "head_age_s",
        "finalized",
        "next_block",
        "indexed_at",
        "lag_blocks",
        "lag_s",
    ),
    *("reported_at", "report_age_s", "parked_logs", "error", "last_error"),
}
CONTRACT = {"name", "address", "code_hash", "code_matches", "checked_at"}
ROLES = {"admin", "guardian", "pauser", "treasury", "fee_bps", "paused"}


@pytest.fixture
def no_node(monkeypatch):
    """Any request to the node fails the test, even one whose failure would be caught."""
    asked = []

    def refuse(_self, method, _params):
        asked.append(method)
        raise NodeUnavailable("down")

    monkeypatch.setattr(JsonRpcGateway, "request", refuse)
    yield
    assert asked == []


@pytest.fixture
def no_broker(settings):
    settings.CACHES = {"default": {"BACKEND": "tests.market.test_status_api.NoCache"}}


class NoCache:
    """A cache whose server is gone."""

    def __init__(self, *_args, **_kwargs):
        pass

    def __getattr__(self, name):
        if name.startswith("_") or name == "close":
            raise AttributeError(name)
        raise ConnectionError("the broker is down")


def status(client, query: str = "") -> dict:
    response = client.get(f"/api/v1/status{query}")
    assert response.status_code == 200
    return response.json()


def test_status_of_a_current_index_has_its_stable_form(market, client):
    market.sold_licence()
    market.index()
    codes_record(market.gateway, market.book)
    body = status(client)
    assert body.keys() == TOP
    (stream,) = body["streams"]
    assert stream.keys() == STREAM
    head = market.gateway.header_at(None)
    assert (stream["head"], stream["next_block"], stream["lag_blocks"], stream["lag_s"]) == (
        head.number,
        head.number + 1,
        0,
        0,
    )
    assert (body["ok"], stream["ok"], stream["error"], stream["last_error"]) == (True, True, None, None)
    assert stream["head_at"] == stream["indexed_at"] is not None
    assert {row["name"] for row in body["contracts"]} == set(market.book.contracts)
    assert all(row.keys() == CONTRACT and row["code_matches"] is True for row in body["contracts"])
    assert body["roles"].keys() == ROLES
    assert (body["roles"]["guardian"], body["roles"]["admin"]) == (market.guardian, market.admin)
    (node,) = body["endpoints"]
    assert (node["name"], node["state"], node["failures"]) == ("endpoint 1", "healthy", 0)


def test_status_answers_without_node_broker_and_index(contracts_book, client, no_node, no_broker):
    body = status(client)
    (stream,) = body["streams"]
    assert (body["ok"], stream["error"]["code"], stream["head"]) == (False, "chain.not_indexed", None)
    assert [row["code_matches"] for row in body["contracts"]] == [None] * len(body["contracts"])
    page = client.get("/status", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "has not been indexed yet" in page.content.decode()


def test_status_says_how_far_behind_in_blocks_and_seconds(market, client):
    market.index()
    market.warp(500)
    market.warp(100)
    head = market.gateway.header_at(None)
    Stream.objects.update(head_block=head.number, head_timestamp=head.timestamp)
    (stream,) = status(client)["streams"]
    assert stream["lag_blocks"] == 2
    assert stream["lag_s"] >= 600


def test_status_tells_the_error_of_now_and_the_last_one_that_is_over(market, client):
    market.index()
    indexer = market.indexer()
    indexer.step()
    indexer.error_report(NodeUnavailable("No endpoint answers."))
    (stream,) = status(client)["streams"]
    assert stream["error"]["code"] == stream["last_error"]["code"] == "chain.node_unavailable"
    assert stream["error"]["message"] == "No endpoint answers."
    assert stream["error"]["at"] == stream["last_error"]["at"] is not None
    indexer.step()
    indexer.close()
    (stream,) = status(client)["streams"]
    assert (stream["error"], stream["last_error"]["code"]) == (None, "chain.node_unavailable")


def test_status_is_503_for_health_checks_that_ask_for_it_and_only_then(market, client):
    market.index()
    assert client.get("/api/v1/status?strict=1").status_code == 200
    Stream.objects.update(error_code="chain.finality_violated", error_message="x")
    for path in ("/api/v1/status", "/status", "/status/"):
        assert client.get(path).status_code == 200
        assert client.get(f"{path}?strict=1").status_code == 503


def test_status_at_its_page_is_json_where_that_is_asked_for(market, client):
    market.index()
    for path in ("/status", "/status/"):
        asked = client.get(path, headers={"Accept": "application/json"})
        assert asked["Content-Type"] == "application/json"
        assert asked.json().keys() == TOP
        assert "Accept" in asked["Vary"]
        shown = client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert shown["Content-Type"].startswith("text/html")


def test_status_with_a_bad_key_is_answered_all_the_same(market, client):
    market.index()
    assert client.get("/api/v1/status", headers={"Authorization": "Bearer wh_bad_key"}).status_code == 200


def test_contract_whose_code_differs_is_named_and_the_site_is_not_ok(market, client):
    market.index()
    codes_record(market.gateway, market.book)
    ContractCheck.objects.filter(name="LicenceMarket").update(code_hash="0x" + "00" * 32)
    body = status(client)
    differing = [row["name"] for row in body["contracts"] if row["code_matches"] is False]
    assert (body["ok"], differing) == (False, ["LicenceMarket"])
    assert "code is not what was deployed" in client.get("/status").content.decode()


def test_check_of_another_deployment_says_nothing_about_this_one(market, client):
    market.index()
    codes_record(market.gateway, market.book)
    ContractCheck.objects.update(address="0x" + "11" * 20)
    assert [row["code_matches"] for row in status(client)["contracts"]] == [None] * len(market.book.contracts)


def test_parked_log_is_counted_and_shown_with_its_place(market, client):
    market.index()
    place = {"chain_id": 31337, "block_number": 77, "block_hash": "0x" + "0a" * 32, "block_time": timezone.now()}
    ParkedLog.objects.create(
        **place,
        tx_hash="0x" + "0b" * 32,
        tx_index=0,
        log_index=5,
        address=market.usd,
        contract="LicenceMarket",
        topics=[],
        data="0x",
        reason="<b>unknown</b>",
    )
    body = status(client)
    assert (body["ok"], body["streams"][0]["parked_logs"]) == (False, 1)
    assert "1 event could not be read" in client.get("/status").content.decode()
