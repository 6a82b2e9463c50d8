"""Signing in by a signature, through the API, with a wallet's real signatures."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from eth_account import Account as Wallet
from eth_account.messages import encode_defunct

from marketplace.accounts.models import Account, SignInNonce
from marketplace.accounts.services import api_key_create, sign_in_nonces_purge

pytestmark = pytest.mark.django_db

WALLET = Wallet.from_key("0x" + "42" * 32)
STRANGER = Wallet.from_key("0x" + "43" * 32)


def challenge(client: Client, wallet=WALLET) -> str:
    response = client.get("/api/v1/session/nonce", {"address": wallet.address.lower()})
    assert response.status_code == 200, response.content
    return response.json()["message"]


def answer(client: Client, message: str, wallet=WALLET, **extra):
    signature = "0x" + wallet.sign_message(encode_defunct(text=message)).signature.hex()
    body = {"message": message, "signature": signature}
    return client.post("/api/v1/session", body, content_type="application/json", **extra)


def test_sign_in_with_a_signed_challenge_creates_the_account_and_the_session(client):
    response = answer(client, challenge(client))
    assert (response.status_code, response.json()) == (201, {"address": WALLET.address})
    assert client.get("/api/v1/session").json() == {"address": WALLET.address}
    assert Account.objects.get().address == WALLET.address


def test_sign_in_a_second_time_keeps_the_account(client):
    answer(client, challenge(client))
    answer(client, challenge(client))
    assert Account.objects.count() == 1


def test_sign_in_changes_the_session_key_so_that_a_planted_one_is_worthless(client):
    message = challenge(client)
    before = client.cookies["sessionid"].value
    answer(client, message)
    assert client.cookies["sessionid"].value != before


def test_sign_in_with_a_used_challenge_is_refused(client):
    message = challenge(client)
    answer(client, message)
    response = answer(client, message)
    assert (response.status_code, response.json()["code"]) == (400, "sign_in.nonce_unknown")


def test_sign_in_with_a_wrong_signature_burns_the_challenge(client):
    message = challenge(client)
    assert answer(client, message, STRANGER).status_code == 400
    assert answer(client, message).json()["code"] == "sign_in.nonce_unknown"
    assert client.get("/api/v1/session").json() == {"address": None}


def test_sign_in_in_another_session_than_the_challenge_is_refused(client):
    message = challenge(client)
    other = Client()
    challenge(other)
    assert answer(other, message).json()["code"] == "sign_in.nonce_unknown"


def test_sign_in_after_five_minutes_is_refused(client):
    message = challenge(client)
    SignInNonce.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert answer(client, message).json()["code"] == "sign_in.nonce_unknown"
    assert sign_in_nonces_purge() == 1


def test_sign_in_with_a_message_for_another_domain_is_refused(client):
    message = challenge(client).replace("testserver wants you", "evil.example wants you")
    response = answer(client, message)
    assert response.status_code == 400
    assert response.json()["code"].startswith("siwe.")


def test_sign_in_of_a_closed_account_is_refused(client):
    Account.objects.create(address=WALLET.address, is_active=False)
    response = answer(client, challenge(client))
    assert (response.status_code, response.json()["code"]) == (403, "account.closed")


def test_session_of_an_account_closed_meanwhile_is_anonymous(client):
    answer(client, challenge(client))
    Account.objects.update(is_active=False)
    assert client.get("/api/v1/keys").status_code == 401


def test_sign_in_without_csrf_token_is_refused():
    client = Client(enforce_csrf_checks=True)
    response = answer(client, challenge(client))
    assert (response.status_code, response.json()["code"]) == (403, "auth.csrf")


def test_sign_in_with_a_broken_address_names_the_field(client):
    response = client.get("/api/v1/session/nonce", {"address": "0x12"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "address"


@pytest.mark.parametrize("key", ["Z" * 3000, "z" * 32])
@pytest.mark.parametrize("account", [None, "buyer"])
def test_challenge_for_a_session_that_there_is_not_belongs_to_a_new_one(client, request, key, account):
    headers = {}
    if account:
        _, secret = api_key_create(account=request.getfixturevalue(account), name="key", scopes=["run"])
        headers["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    client.cookies["sessionid"] = key
    response = client.get("/api/v1/session/nonce", **headers)
    assert response.status_code == 200
    assert SignInNonce.objects.get().session_key == client.cookies["sessionid"].value != key


def test_sign_out_ends_the_session(client):
    answer(client, challenge(client))
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/session").json() == {"address": None}


def test_sign_in_too_often_is_throttled(client):
    codes = [client.get("/api/v1/session/nonce").status_code for _ in range(61)]
    assert codes == [200] * 60 + [429]


def test_sign_in_too_often_cannot_be_hidden_behind_a_forged_header(client):
    headers = [{"HTTP_X_FORWARDED_FOR": f"203.0.113.{n}"} for n in range(61)]
    assert client.get("/api/v1/session/nonce", **headers[0]).status_code == 200
    assert [client.get("/api/v1/session/nonce", **header).status_code for header in headers[1:]][-1] == 429


@pytest.mark.django_db(transaction=True)
def test_sign_in_of_two_requests_with_one_challenge_lets_one_through(client):
    message = challenge(client)
    clients = [Client(), Client()]
    for other in clients:
        other.cookies = client.cookies

    def attempt(one: Client) -> int:
        try:
            return answer(one, message).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(attempt, clients)) == [201, 400]
