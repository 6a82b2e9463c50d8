"""Sign-in, API keys, the demo wallet, the chain's state."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from eth_account import Account
from eth_account.messages import encode_typed_data
from rest_framework.throttling import SimpleRateThrottle

from chain import abi
from chain.models import Stream
from marketplace.accounts.services import api_key_authenticate


@pytest.mark.parametrize(
    ("target", "followed"),
    [
        ("/licences/", "/licences/"),
        ("/models/1/?licence=2#run", "/models/1/?licence=2#run"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\\evil.example", "/"),
        ("/sign-in/", "/"),
        ("", "/"),
    ],
)
def test_sign_in_page_leads_on_within_the_site_only(anonymous, db, read, target, followed):
    page = read(anonymous.get("/sign-in/", {"next": target}))
    (section,) = [tag for _name, tag in page.tags if "data-sign-in" in tag]
    assert section["data-next"] == followed


def test_sign_in_page_for_signed_in_leads_on(signed_in, buyer):
    assert signed_in(buyer).get("/sign-in/?next=/jobs/").url == "/jobs/"


def test_sign_out_ends_the_session(signed_in, buyer):
    client = signed_in(buyer)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/licences/").status_code == 302


def test_key_is_shown_once_and_works(signed_in, buyer, read):
    client = signed_in(buyer)
    response = client.post("/keys/", {"name": "laptop", "scopes": ["run"]})
    key = next(word for word in read(response).text.split() if word.startswith("wh_") and word.count("_") == 2)
    assert "no-store" in response.headers["Cache-Control"]
    assert api_key_authenticate(key=key).account == buyer
    again = client.get("/keys/").content.decode()
    assert "laptop" in again
    assert key not in again


def test_key_that_is_revoked_stops_working(signed_in, buyer, read):
    client = signed_in(buyer)
    client.post("/keys/", {"name": "laptop", "scopes": ["run"]})
    row = buyer.api_keys.get()
    response = client.post(f"/keys/{row.prefix}/revoke/", follow=True)
    assert "is revoked" in read(response).text
    row.refresh_from_db()
    assert not row.is_usable


def test_key_of_somebody_else_cannot_be_revoked(signed_in, buyer, outsider):
    signed_in(buyer).post("/keys/", {"name": "laptop", "scopes": ["run"]})
    row = buyer.api_keys.get()
    assert signed_in(outsider).post(f"/keys/{row.prefix}/revoke/").status_code == 404
    row.refresh_from_db()
    assert row.is_usable


@pytest.mark.parametrize("form", [{"name": "x"}, {"scopes": ["run"]}, {"name": "x", "scopes": ["admin"]}])
def test_key_without_name_or_scope_is_not_created(signed_in, buyer, form):
    assert signed_in(buyer).post("/keys/", form).status_code == 422
    assert not buyer.api_keys.exists()


def _call(client: Client, body: object, **extra: str):
    return client.post("/demo/wallet", body, content_type="application/json", **extra)


def test_demo_wallet_answers_the_chain_id(anonymous, market, db):
    assert _call(anonymous, {"method": "eth_chainId", "params": []}).json() == {"result": "0x7a69"}


def test_demo_wallet_outside_the_demo_is_not_there(anonymous, db, settings):
    settings.DEMO_WALLET = False
    assert _call(anonymous, {"method": "eth_chainId", "params": []}).status_code == 404


def test_demo_wallet_wants_the_csrf_token(db):
    assert _call(Client(enforce_csrf_checks=True), {"method": "eth_chainId"}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "null", '{"method": 1}', '{"method": "eth_chainId", "params": {}}', "[" * 9999, b"\xff\xfe",
        '{"method": "eth_call", "params": ["\\ud800"]}',
        '{"method": "eth_call", "params": [NaN]}',
        '{"method": "eth_call", "params": [99999999999999999999999999]}',
        '{"method": "eth_call", "params": ' + "[" * 400 + "]" * 400 + "}",
    ],
)  # fmt: skip
def test_demo_wallet_given_no_call_says_so(anonymous, market, db, body):
    response = _call(anonymous, body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize("method", ["anvil_setBalance", "evm_revert", "eth_sign", "debug_traceCall", "hardhat_reset"])
def test_demo_wallet_forwards_no_other_method(anonymous, market, db, method):
    assert _call(anonymous, {"method": method, "params": []}).json()["error"]["code"] == 4200


def test_demo_wallet_passes_a_revert_on_with_its_name(anonymous, listed):
    request = {"from": listed.market.outsider, "to": listed.market.book.contract("LicenceMarket").address}
    request["data"] = abi.call_encode("LicenceMarket", "retirePlan", [listed.plan_id])
    error = _call(anonymous, {"method": "eth_call", "params": [request, "latest"]}).json()["error"]
    assert error["code"] == 3
    assert f"Only the owner of model {listed.model_id}" in error["message"]
    (refusal,) = [item for item in abi.artefact("LicenceMarket").errors.values() if item["name"] == "NotModelOwner"]
    assert error["data"] == abi.selector(refusal) + f"{listed.model_id:064x}{int(listed.market.outsider, 16):064x}"


def _typed(chain_id: int, owner: str) -> dict[str, object]:
    types = {
        "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
        "Cancel": [{"name": "licenceId", "type": "uint256"}, {"name": "to", "type": "address"}],
    }
    domain = {"name": "Weighhouse", "chainId": chain_id}
    return {"types": types, "primaryType": "Cancel", "domain": domain, "message": {"licenceId": "7", "to": owner}}


def test_demo_wallet_signs_typed_data_of_this_chain_as_its_account(anonymous, market, db):
    typed = _typed(31337, market.buyer)
    answer = _call(anonymous, {"method": "eth_signTypedData_v4", "params": [market.buyer, json.dumps(typed)]}).json()
    digest = encode_typed_data(full_message=typed)
    assert Account.recover_message(digest, signature=answer["result"]) == market.buyer


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda who, typed: [who, json.dumps(typed | {"domain": {"name": "x", "chainId": 1}})], 4902),
        (lambda who, typed: [who, json.dumps(typed | {"domain": {"name": "x"}})], 4902),
        (lambda who, typed: ["0x" + "11" * 20, json.dumps(typed)], 4100),
        (lambda who, typed: [who, "{"], -32602),
        (lambda who, typed: [who, "[]"], -32602),
        (lambda who, typed: [who], 4100),
        (lambda who, typed: [], 4100),
    ],
)
def test_demo_wallet_refuses_typed_data_that_are_none_or_foreign(anonymous, market, db, change, code):
    params = change(market.buyer, _typed(31337, market.buyer))
    answer = _call(anonymous, {"method": "eth_signTypedData_v4", "params": params}).json()
    assert answer["error"]["code"] == code


def test_demo_wallet_beyond_the_rate_must_wait(anonymous, market, db, monkeypatch):
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"demo-wallet": "1/min"})
    assert _call(anonymous, {"method": "eth_chainId"}).status_code == 200
    assert _call(anonymous, {"method": "eth_chainId"}).status_code == 429


def test_pages_without_trouble_show_no_banner(anonymous, listed):
    assert "data-chain-banner" not in anonymous.get("/").content.decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"error_code": "chain.node_unavailable", "error_message": "x"}, "The chain node does not answer."),
        ({"error_code": "chain.finality_violated", "error_message": "x"}, "The index of the chain has stopped."),
        ({"seen_at": timezone.now() - timedelta(minutes=5)}, "The indexer does not report."),
        ({"head_block": 1_000_000}, "The index is catching up."),
    ],
)
def test_pages_with_trouble_show_a_banner_with_the_time(anonymous, listed, read, change, said):
    Stream.objects.update(**change)
    for path in ("/", listed.url, "/nothing/"):
        text = read(anonymous.get(path)).text
        assert said in text, path
        assert "Pages show the chain as it was at" in text
        assert "Reading goes on" in text


def test_banner_says_how_far_behind_in_blocks_and_seconds_and_refreshes_itself(anonymous, listed, read):
    stream = Stream.objects.get()
    Stream.objects.update(head_block=stream.next_block + 6, head_timestamp=(stream.head_timestamp or 0) + 84)
    page = read(anonymous.get("/"))
    assert "The index is 7 blocks and 84 seconds behind the chain." in page.text
    (banner,) = [tag for tag in page.all("div") if "data-chain-banner" in tag]
    assert (banner["hx-get"], banner["hx-select"]) == ("/status", "[data-chain-banner]")


def test_banner_of_a_dead_node_says_how_old_the_last_report_is(anonymous, listed, read):
    old = timezone.now() - timedelta(minutes=5)
    Stream.objects.update(error_code="chain.node_unavailable", error_message="x", seen_at=old)
    assert "The last report is 5 minutes old" in read(anonymous.get("/")).text


def test_status_page_before_any_index_says_what_to_do(anonymous, db, read):
    text = read(anonymous.get("/status/")).text
    assert "has not been indexed yet" in text


def test_status_page_shows_head_and_lag(anonymous, listed, read):
    text = read(anonymous.get("/status/")).text
    assert "The index is current." in text
    assert "Blocks behind 0" in text


def test_api_page_lists_operations(anonymous, db, read):
    text = read(anonymous.get("/api/")).text
    assert "/api/v1/jobs" in text
    assert "/api/v1/uploads" in text


@pytest.mark.parametrize(
    "before",
    ["2024-13-45T00:00:00", "2024-01-01T00:00:00+99:99", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
)
def test_jobs_page_before_no_moment_at_all_is_the_first_page(signed_in, buyer, before):
    assert signed_in(buyer).get("/jobs/", {"before": before}).status_code == 200


@pytest.mark.parametrize("number", ["9" * 78, str(2**256)])
def test_publish_page_for_a_number_that_no_model_can_have_extends_none(signed_in, buyer, number):
    client = signed_in(buyer)
    assert client.get("/publish/", {"model": number}).status_code == 200
    assert client.post("/publish/", {"model_id": number}).status_code == 422
