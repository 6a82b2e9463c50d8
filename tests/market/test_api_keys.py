"""API keys: made once, shown once, held to their scopes."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.accounts.errors import ApiKeyLimitError
from marketplace.accounts.models import ApiKey
from marketplace.accounts.services import KEYS_PER_ACCOUNT, api_key_create

pytestmark = pytest.mark.django_db


def client_of(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def create(signed_in, account, **body):
    body = {"name": "a script", "scopes": ["run"], **body}
    return signed_in(account).post("/api/v1/keys", body, content_type="application/json")


def test_key_created_in_a_session_works_and_is_shown_once(signed_in, buyer):
    created = create(signed_in, buyer)
    assert created.status_code == 201
    key = created.json()["key"]
    assert client_of(key).get("/api/v1/licences").json() == []
    listed = signed_in(buyer).get("/api/v1/keys")
    assert key.split("_")[2] not in listed.content.decode()
    assert listed.json()[0]["prefix"] == key.split("_")[1]


def test_key_that_would_have_expired_already_is_refused(signed_in, buyer):
    response = create(signed_in, buyer, expires_at="2020-01-01T00:00:00Z")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid")
    assert not ApiKey.objects.exists()


def test_key_of_more_scopes_than_there_are_is_refused_by_their_number_alone(signed_in, buyer):
    response = create(signed_in, buyer, scopes=["all"] * 10_000)
    assert (response.status_code, len(response.json()["errors"])) == (400, 1)


def test_key_is_kept_as_a_hash_only(signed_in, buyer):
    key = create(signed_in, buyer).json()["key"]
    stored = " ".join(str(value) for value in ApiKey.objects.values_list().get())
    assert key.split("_")[2] not in stored


def test_key_without_the_scope_is_refused(with_key, buyer):
    response = with_key(buyer, "publish").get("/api/v1/licences")
    assert (response.status_code, response.json()["code"]) == (403, "key.scope_missing")


def test_key_cannot_make_keys(with_key, buyer):
    response = with_key(buyer).post("/api/v1/keys", {"name": "x", "scopes": ["run"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (403, "key.scope_missing")


def test_key_revoked_is_refused_at_once(signed_in, buyer):
    key = create(signed_in, buyer).json()["key"]
    prefix = key.split("_")[1]
    assert signed_in(buyer).delete(f"/api/v1/keys/{prefix}").json()["revoked_at"]
    response = client_of(key).get("/api/v1/licences")
    assert (response.status_code, response.json()["code"]) == (401, "key.revoked")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_key_revoked_twice_keeps_the_first_date(signed_in, buyer):
    prefix = create(signed_in, buyer).json()["prefix"]
    client = signed_in(buyer)
    first = client.delete(f"/api/v1/keys/{prefix}").json()["revoked_at"]
    assert client.delete(f"/api/v1/keys/{prefix}").json()["revoked_at"] == first


def test_key_of_somebody_else_cannot_be_revoked(signed_in, buyer, outsider):
    key = create(signed_in, buyer).json()["key"]
    assert signed_in(outsider).delete(f"/api/v1/keys/{key.split('_')[1]}").status_code == 404
    assert client_of(key).get("/api/v1/licences").status_code == 200


def test_key_past_its_date_is_refused(buyer):
    row, key = api_key_create(account=buyer, name="old", scopes=["run"], expires_at=timezone.now() + timedelta(days=1))
    assert client_of(key).get("/api/v1/licences").status_code == 200
    ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    assert client_of(key).get("/api/v1/licences").json()["code"] == "key.expired"


def test_key_of_a_closed_account_is_refused(buyer):
    _, key = api_key_create(account=buyer, name="x", scopes=["run"])
    type(buyer).objects.update(is_active=False)
    assert client_of(key).get("/api/v1/licences").json()["code"] == "account.closed"


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer wh_x_y", "Basic abc", "Bearer wh_" + "0" * 12 + "_" + "0" * 40, "Bearer a b", "Bearer é"],
)
def test_key_that_is_none_is_refused_and_never_anonymous(header):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    response = client.get("/api/v1/models/1/plans")
    assert (response.status_code, response.json()["code"]) == (401, "key.invalid")


def test_key_with_a_changed_secret_is_refused(buyer):
    _, key = api_key_create(account=buyer, name="x", scopes=["run"])
    changed = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert client_of(changed).get("/api/v1/licences").json()["code"] == "key.invalid"


def test_key_use_is_noted_once_a_minute(buyer):
    row, key = api_key_create(account=buyer, name="x", scopes=["run"])
    client_of(key).get("/api/v1/licences")
    first = ApiKey.objects.get(pk=row.pk).last_used_at
    client_of(key).get("/api/v1/licences")
    assert ApiKey.objects.get(pk=row.pk).last_used_at == first
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    client_of(key).get("/api/v1/licences")
    assert ApiKey.objects.get(pk=row.pk).last_used_at >= first


def test_keys_beyond_the_limit_are_refused(buyer):
    keys = [
        ApiKey(account=buyer, name="x", prefix=f"{n:012x}", key_sha256="0" * 64, scopes=["run"])
        for n in range(KEYS_PER_ACCOUNT)
    ]
    ApiKey.objects.bulk_create(keys)
    with pytest.raises(ApiKeyLimitError):
        api_key_create(account=buyer, name="one more", scopes=["run"])


@pytest.mark.parametrize("scopes", [[], ["admin"], ["run", "run", "run"], "run"])
def test_key_with_scopes_that_are_none_is_refused(signed_in, buyer, scopes):
    assert create(signed_in, buyer, scopes=scopes).status_code == 400


def test_key_call_needs_no_csrf_token(buyer):
    _, key = api_key_create(account=buyer, name="x", scopes=["run"])
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    response = client.post("/api/v1/orders", {}, format="json")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid")
