"""`/api/v1/orders`: recorded before and after the wallet, by its owner alone."""

import pytest

from tests.market.order_steps import follow, newest_transaction, nonce_of, send_buy

pytestmark = pytest.mark.django_db


def test_api_order_is_recorded_and_read_by_its_owner_alone(market, plan_id, with_key, buyer, outsider):
    body = {"tx_hash": send_buy(market, plan_id), "kind": "buy", "plan": str(plan_id)}
    created = with_key(buyer).post("/api/v1/orders", body, format="json")
    assert (created.status_code, created.json()["state"]) == (201, "sent")
    assert with_key(buyer).post("/api/v1/orders", body, format="json").status_code == 200
    market.index()
    url = created.headers["Location"]
    seen = with_key(buyer).get(url).json()
    assert seen["state"] == "seen"
    assert int(seen["licence"]) >> 32 == plan_id
    assert with_key(outsider).get(url).status_code == 404
    assert with_key(outsider).get("/api/v1/orders").json()["results"] == []


@pytest.mark.parametrize(
    "change", [{"tx_hash": "0x12"}, {"plan": None}, {"kind": "steal"}, {"plan": "-1"}, {"plan": "1e3"}]
)
def test_api_order_that_is_malformed_is_refused(with_key, buyer, change):
    body = {"tx_hash": "0x" + "ab" * 32, "kind": "buy", "plan": "4294967297", **change}
    assert with_key(buyer).post("/api/v1/orders", body, format="json").status_code == 400


def test_api_order_of_a_cancel_names_its_licence(market, with_key, buyer):
    _, _, licence_id = market.sold_licence(vesting=24 * 3600)
    market.cancel(licence_id)
    body = {"tx_hash": newest_transaction(market), "kind": "cancel", "licence": str(licence_id)}
    created = with_key(buyer).post("/api/v1/orders", body, format="json")
    assert (created.status_code, created.json()["licence"]) == (201, str(licence_id))
    market.index()
    seen = with_key(buyer).get(created.headers["Location"]).json()
    assert (seen["state"], seen["kind"]) == ("seen", "cancel")


def intend(client, plan_id: int) -> str:
    """The address of an order that was recorded before the wallet opened."""
    created = client.post("/api/v1/orders", {"kind": "buy", "plan": str(plan_id)}, format="json")
    assert (created.status_code, created.json()["state"]) == (201, "intent")
    return str(created.headers["Location"])


def test_api_order_is_recorded_before_the_wallet_and_told_the_hash_after_it(market, plan_id, with_key, buyer):
    client, nonce = with_key(buyer), nonce_of(market)
    url = intend(client, plan_id)
    assert (client.get(url).json()["nonce"], client.get(url).json()["tx_hash"]) == (nonce, None)
    tx_hash = send_buy(market, plan_id)
    for _ in range(2):
        told = client.patch(url, {"tx_hash": tx_hash, "nonce": nonce}, format="json")
        assert (told.status_code, told.json()["state"], told.json()["tx_hash"]) == (200, "sent", tx_hash)
    follow()
    mined = client.get(url).json()
    assert (mined["state"], mined["confirmations"]) == ("mined", None)
    assert "only then does it count" in mined["message"]
    market.index()
    seen = client.get(url).json()
    assert (seen["state"], seen["block"], seen["confirmations"]) == ("seen", mined["block"], 1)


def test_api_order_that_the_wallet_rejected_is_not_sent(market, plan_id, with_key, buyer):
    client = with_key(buyer)
    url = intend(client, plan_id)
    rejected = client.patch(url, {"rejected": True}, format="json")
    assert (rejected.status_code, rejected.json()["state"]) == (200, "abandoned")
    assert client.patch(url, {"rejected": True}, format="json").status_code == 200
    # A wallet that sent it all the same is believed.
    told = client.patch(url, {"tx_hash": send_buy(market, plan_id)}, format="json")
    assert told.json()["state"] == "sent"
    assert client.patch(url, {"rejected": True}, format="json").json()["code"] == "order.conflict"


def test_api_order_that_was_told_one_hash_refuses_another(market, plan_id, with_key, buyer):
    client = with_key(buyer)
    first, second = intend(client, plan_id), intend(client, plan_id)
    client.patch(first, {"tx_hash": "0x" + "ab" * 32}, format="json")
    other = client.patch(first, {"tx_hash": "0x" + "cd" * 32}, format="json")
    taken = client.patch(second, {"tx_hash": "0x" + "ab" * 32}, format="json")
    for refused in (other, taken):
        assert (refused.status_code, refused.json()["code"]) == (409, "order.conflict")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rejected": False},
        {"rejected": True, "nonce": 1},
        {"tx_hash": None},
        {"tx_hash": "0x12"},
        {"nonce": -1},
        {"nonce": 2**63},
        {"nonce": 10**400},
        {"nonce": "1e3"},
    ],
)
def test_api_order_change_that_is_malformed_is_refused(plan_id, with_key, buyer, body):
    client = with_key(buyer)
    assert client.patch(intend(client, plan_id), body, format="json").status_code == 400


def test_api_order_with_the_largest_nonce_is_followed_without_an_error(plan_id, with_key, buyer):
    client = with_key(buyer)
    url = intend(client, plan_id)
    body = {"tx_hash": "0x" + "ab" * 32, "nonce": 2**63 - 1}
    assert client.patch(url, body, format="json").json()["nonce"] == 2**63 - 1
    follow()
    assert client.get(url).json()["state"] == "sent"


def test_api_order_of_somebody_else_cannot_be_changed(plan_id, with_key, buyer, outsider):
    url = intend(with_key(buyer), plan_id)
    assert with_key(outsider).patch(url, {"rejected": True}, format="json").status_code == 404
    assert with_key(buyer).get(url).json()["state"] == "intent"
