"""`/api/v1/webhooks`, as programs meet it."""

from uuid import uuid4

import pytest
import standardwebhooks

from marketplace.webhooks import services
from marketplace.webhooks.models import WebhookDelivery, WebhookEndpoint

pytestmark = pytest.mark.django_db
URL = "/api/v1/webhooks"


@pytest.fixture
def client(with_key, buyer, clean_broker):
    return with_key(buyer, "run")


@pytest.fixture
def there(receiver, allow):
    return allow(receiver())


def test_api_webhook_shows_its_secret_once(client, there):
    made = client.post(URL, {"url": there.url, "events": ["job.failed"]}, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["secret"].startswith("whsec_")
    found = client.get(made.headers["Location"]).json()
    assert (found["url"], found["events"], found["enabled"]) == (there.url, ["job.failed"], True)
    assert "secret" not in found
    assert "secret" not in client.get(URL).json()[0]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "request.invalid"),
        ({"url": "http://example.org/"}, 422, "outgoing.url_invalid"),
        ({"url": "https://10.0.0.1/"}, 422, "outgoing.address_refused"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, 422, "outgoing.address_refused"),
        ({"url": "https://169.254.169.254/"}, 422, "outgoing.address_refused"),
        ({"url": "https://example.org/", "events": ["job.started"]}, 400, "request.invalid"),
        ({"url": "https://example.org/", "description": "x" * 81}, 400, "request.invalid"),
        ({"url": "https://example.org/" + "x" * 2000}, 400, "request.invalid"),
    ],
)
def test_api_webhook_that_may_not_be_is_refused_in_words(client, body, status, code):
    response = client.post(URL, body, format="json")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert WebhookEndpoint.objects.count() == 0


def test_api_webhook_with_more_events_than_there_are_is_refused_by_their_number_alone(client):
    body = {"url": "https://example.org/", "events": ["job.started"] * 10_000}
    for response in (client.post(URL, body, format="json"), client.patch(f"{URL}/{uuid4()}", body, format="json")):
        assert (response.status_code, len(response.json()["errors"])) == (400, 1)


def test_api_webhook_changes_too_many_are_throttled_as_new_ones_are(client):
    there = f"{URL}/{uuid4()}"
    for _ in range(60):
        assert client.patch(there, {}, format="json").status_code == 404
    for response in (client.patch(there, {}, format="json"), client.post(URL, {}, format="json")):
        assert (response.status_code, response.json()["code"]) == (429, "request.throttled")
    assert client.get(there).status_code == 404


def test_api_webhook_cannot_be_changed_to_a_private_address(client, there):
    url = client.post(URL, {"url": there.url}, format="json").headers["Location"]
    response = client.patch(url, {"url": "https://127.0.0.1/"}, format="json")
    assert response.json()["code"] == "outgoing.address_refused"
    assert WebhookEndpoint.objects.get().url == there.url


def test_api_webhooks_beyond_the_limit_are_refused(client, there):
    for _ in range(10):
        assert client.post(URL, {"url": there.url}, format="json").status_code == 201
    response = client.post(URL, {"url": there.url}, format="json")
    assert (response.status_code, response.json()["code"]) == (409, "webhook.limit")


def test_api_webhook_is_switched_off_and_on(client, there, buyer, happen):
    url = client.post(URL, {"url": there.url}, format="json").headers["Location"]
    waiting = happen(buyer)
    off = client.patch(url, {"enabled": False}, format="json").json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "Switched off by its owner.")
    resend = client.post(f"{url}/deliveries/{waiting.event_id}/resend")
    assert (resend.status_code, resend.json()["code"]) == (409, "webhook.disabled")
    on = client.patch(url, {"enabled": True}, format="json").json()
    assert (on["enabled"], on["disabled_reason"], on["disabled_at"]) == (True, "", None)


def test_api_webhook_delivery_is_logged_and_resent_with_a_new_secret_too(client, there, buyer, happen):
    url = client.post(URL, {"url": there.url}, format="json").headers["Location"]
    secret = client.post(f"{url}/secret").json()["secret"]
    delivery = happen(buyer)
    services.delivery_send(delivery_id=delivery.pk)
    (entry,) = client.get(f"{url}/deliveries").json()["results"]
    assert (entry["state"], entry["event"], entry["attempts"][0]["status"]) == ("delivered", delivery.event_id, 204)
    assert entry["body"]["data"] == {"job": delivery.event.subject}
    again = client.post(f"{url}/deliveries/{delivery.event_id}/resend")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    services.delivery_send(delivery_id=delivery.pk)
    assert [got.headers["webhook-id"] for got in there.requests] == [delivery.event_id] * 2
    standardwebhooks.Webhook(secret).verify(there.requests[1].body, there.requests[1].headers)


def test_api_webhook_of_another_account_is_not_found(client, there, buyer, outsider, with_key, happen):
    url = client.post(URL, {"url": there.url}, format="json").headers["Location"]
    delivery = happen(buyer)
    stranger = with_key(outsider, "run")
    for response in (
        stranger.get(url),
        stranger.patch(url, {"enabled": False}, format="json"),
        stranger.delete(url),
        stranger.post(f"{url}/secret"),
        stranger.get(f"{url}/deliveries"),
        stranger.post(f"{url}/deliveries/{delivery.event_id}/resend"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "webhook.not_found")
    assert stranger.get(URL).json() == []


def test_api_webhook_deleted_is_gone_with_its_log(client, there, buyer, happen):
    url = client.post(URL, {"url": there.url}, format="json").headers["Location"]
    happen(buyer)
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    assert WebhookDelivery.objects.count() == 0
