"""What a re-org on a real chain removed: it is remembered, pages and calls say so, and it returns by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chain.indexer.rebuild import index_rebuild
from chain.models import RemovedEvent, Stream
from chain.removals import removal_of_licence
from chain.selectors import event_list, removed_events
from marketplace.licences import services
from marketplace.licences.errors import LicenceReorgedError
from marketplace.licences.models import Licence
from tests.fixtures.people import BUYER

pytestmark = pytest.mark.django_db


def raw_purchase(market) -> str:
    """The signed transaction of the newest block, to be mined again."""
    tx_hash = market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]
    return market.anvil.rpc("eth_getRawTransactionByHash", tx_hash)


@pytest.fixture
def removed(market):
    """A purchase that was indexed and that a re-org of one block removed: its ids and its signed transaction."""
    model_id, plan_id, licence_id = market.sold_licence()
    raw = raw_purchase(market)
    market.index()
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert not Licence.objects.exists()
    return model_id, plan_id, licence_id, raw


def test_reorg_remembers_what_it_removed_and_what_that_was_about(removed):
    model_id, plan_id, licence_id, _ = removed
    row = removed_events(licence_id=licence_id, name="LicenceBought").get()
    assert (row.model_id, row.plan_id, row.licence_id) == (model_id, plan_id, licence_id)
    assert (row.args["holder"], row.ancestor_block) == (BUYER, row.block_number - 1)
    assert {event.name for event in removed_events(tx_hash=row.tx_hash.upper().replace("X", "x"))} == {
        "LicenceBought",
        "Transfer",
    }
    assert set(removed_events(model_id=model_id)) == set(removed_events(plan_id=plan_id))


def test_licence_that_a_reorg_removed_says_so_on_its_page_and_in_the_api(removed, client):
    licence_id = removed[2]
    tx_hash = removed_events(licence_id=licence_id).first().tx_hash
    page = client.get(f"/licences/{licence_id}/")
    assert page.status_code == 404
    html = page.content.decode()
    assert "A re-organisation of the chain removed this purchase on" in html
    assert tx_hash in html
    assert "returns by itself" in html
    problem = client.get(f"/api/v1/licences/{licence_id}")
    body = problem.json()
    assert (problem.status_code, body["code"], body["licence"]) == (404, "licence.reorged", str(licence_id))
    assert (body["tx_hash"], body["removed_at"][:4]) == (tx_hash, str(timezone.now().year))


def test_job_under_a_licence_that_a_reorg_removed_is_refused_with_the_reason(removed):
    model_id, _, licence_id, _ = removed
    for named in (licence_id, None):
        with pytest.raises(LicenceReorgedError, match="removed this purchase") as refusal:
            services.licence_require(holder=BUYER, model_id=model_id, licence_id=named)
        assert refusal.value.data["licence"] == str(licence_id)


def test_job_posted_under_a_removed_licence_is_a_problem_with_the_reason(sell, with_key, buyer):
    sold = sell()
    sold.market.anvil.rpc("anvil_reorg", 1, [])
    sold.market.index()
    asked = {"model": str(sold.model_id), "inputs": ["the house"], "licence": str(sold.licence_id)}
    response = with_key(buyer).post("/api/v1/jobs", asked, format="json")
    body = response.json()
    assert (response.status_code, body["code"], body["licence"]) == (404, "licence.reorged", str(sold.licence_id))
    assert "returns by itself" in body["detail"]


def test_list_of_licences_says_what_became_of_a_removed_one(removed, signed_in, buyer, outsider):
    assert "removed this purchase" in signed_in(buyer).get("/licences/").content.decode()
    assert "removed this purchase" not in signed_in(outsider).get("/licences/").content.decode()


def test_outsider_is_not_told_of_a_purchase_that_was_not_theirs(removed, market):
    with pytest.raises(Exception, match="holds no licence") as refusal:
        services.licence_require(holder=market.outsider, model_id=removed[0])
    assert refusal.value.code == "licence.none"


def test_job_before_the_index_noticed_the_reorg_is_refused_with_both_blocks(market):
    model_id, _, licence_id = market.sold_licence()
    market.index()
    market.anvil.rpc("anvil_reorg", 1, [])
    with pytest.raises(Exception, match="although its purchase was seen in block") as refusal:
        services.licence_require(holder=BUYER, model_id=model_id, licence_id=licence_id)
    assert refusal.value.code == "licence.none"


def test_purchase_that_is_mined_again_returns_by_itself(removed, market, client):
    model_id, _, licence_id, raw = removed
    market.mine(2)
    market.anvil.mined(market.anvil.rpc("eth_sendRawTransaction", raw))
    market.index()
    assert services.licence_require(holder=BUYER, model_id=model_id).licence_id == licence_id
    assert client.get(f"/licences/{licence_id}/").status_code == 200
    assert not RemovedEvent.objects.exists()


def test_purchase_that_is_mined_again_with_another_number_leaves_the_old_one_gone(removed, market, client):
    _, plan_id, licence_id, raw = removed
    taken = market.buy(plan_id, by=market.outsider)
    second = market.buy(plan_id, by=market.outsider)
    market.anvil.mined(market.anvil.rpc("eth_sendRawTransaction", raw))
    market.index()
    (own,) = [event for event in event_list(name="LicenceBought") if event.args["holder"] == BUYER]
    assert (taken, int(own.args["licenceId"])) == (licence_id, second + 1)
    assert removed_events(licence_id=licence_id, name="LicenceBought").exists()
    assert removal_of_licence(licence_id).mined_again == own.block_number
    assert client.get(f"/licences/{licence_id}/").status_code == 200, "the number is somebody else's licence now"


def test_purchase_that_is_removed_twice_is_remembered_once(removed, market):
    _, _, licence_id, raw = removed
    market.anvil.mined(market.anvil.rpc("eth_sendRawTransaction", raw))
    market.index()
    assert Licence.objects.count() == 1
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert removed_events(licence_id=licence_id, name="LicenceBought").count() == 1


def test_model_and_plan_that_a_reorg_removed_say_so(market, client):
    model_id, plan_id, _ = market.sold_licence()
    market.index()
    market.anvil.rpc("anvil_reorg", 3, [])
    market.index()
    page = client.get(f"/models/{model_id}/")
    assert page.status_code == 404
    assert "removed this publication" in page.content.decode()
    assert client.get(f"/api/v1/models/{model_id}").json()["code"] == "model.reorged"
    problem = client.get(f"/api/v1/plans/{plan_id}/purchase?recipient={BUYER}")
    assert (problem.status_code, problem.json()["code"]) == (404, "plan.reorged")


def test_ids_that_never_were_are_not_blamed_on_a_reorg(removed, client):
    assert client.get("/api/v1/licences/987654321987654321").json()["code"] == "licence.not_found"
    assert client.get("/api/v1/models/987654321").json()["code"] == "model.not_found"


def test_memory_of_a_reorg_ends_after_its_time_and_is_then_dropped(removed, market, settings, client):
    licence_id = removed[2]
    settings.REMOVED_EVENT_RETENTION_S = 3600
    RemovedEvent.objects.update(removed_at=timezone.now() - timedelta(hours=2))
    assert client.get(f"/api/v1/licences/{licence_id}").json()["code"] == "licence.not_found"
    market.buy(removed[1], by=market.outsider)
    market.index()
    market.anvil.rpc("anvil_reorg", 1, [])
    market.index()
    assert {row.args.get("holder", market.outsider) for row in RemovedEvent.objects.all()} == {market.outsider}


def test_starting_again_remembers_nothing(removed, market):
    assert RemovedEvent.objects.exists()
    Stream.objects.update(contracts_hash="0x" + "11" * 32)
    market.index()
    assert not RemovedEvent.objects.exists()


def test_rebuild_keeps_what_a_reorg_removed(removed, market):
    before = set(RemovedEvent.objects.values_list("pk", flat=True))
    index_rebuild(market.indexer)
    assert before
    assert set(RemovedEvent.objects.values_list("pk", flat=True)) == before
