"""The page of webhook endpoints."""

import uuid

import pytest

from marketplace.webhooks import services
from marketplace.webhooks.models import EventKind, WebhookDelivery, WebhookEndpoint

URL = "https://hook.example/in"


@pytest.fixture
def client(signed_in, buyer, clean_broker):
    return signed_in(buyer)


def secret_in(page) -> list[str]:
    return [word for word in page.text.split() if word.startswith("whsec_")]


def test_webhook_secret_is_shown_once(client, read):
    made = client.post("/webhooks/", {"url": URL, "events": ["job.failed"]})
    assert len(secret_in(read(made))) == 1
    assert "no-store" in made.headers["Cache-Control"]
    later = read(client.get("/webhooks/"))
    assert (secret_in(later), URL in later.text, "job.failed" in later.text) == ([], True, True)


@pytest.mark.parametrize("url", ["http://hook.example/", "https://10.0.0.1/", "https://[::1]/", "nonsense", ""])
def test_webhook_to_where_nothing_may_be_sent_is_refused_beside_its_field(client, read, url):
    response = client.post("/webhooks/", {"url": url})
    assert response.status_code == 422
    assert WebhookEndpoint.objects.count() == 0


def test_webhook_is_switched_given_a_new_secret_and_deleted_by_plain_forms(client, read):
    client.post("/webhooks/", {"url": URL})
    row = WebhookEndpoint.objects.get()
    client.post(f"/webhooks/{row.pk}/switch/", {"to": "off"})
    assert "Switched off by its owner." in read(client.get("/webhooks/")).text
    client.post(f"/webhooks/{row.pk}/switch/", {"to": "on"})
    assert WebhookEndpoint.objects.get().is_enabled
    assert len(secret_in(read(client.post(f"/webhooks/{row.pk}/secret/")))) == 1
    client.post(f"/webhooks/{row.pk}/delete/")
    assert WebhookEndpoint.objects.count() == 0


def test_webhook_page_shows_what_was_sent_and_sends_it_again(client, read, buyer):
    client.post("/webhooks/", {"url": URL})
    services.event_record(account_id=buyer.pk, kind=EventKind.JOB_FAILED, subject=uuid.uuid4(), data={})
    entry = {"at": "2026-11-29T10:00:00Z", "status": 500, "error": None, "took_ms": 12}
    WebhookDelivery.objects.update(state="failed", attempts=9, log=[entry])
    delivery = WebhookDelivery.objects.get()
    page = read(client.get(f"/webhooks/{delivery.endpoint_id}/"))
    assert "Status 500" in page.text and "given up" in page.text
    (form,) = [tag for tag in page.all("form") if tag["action"].endswith("/resend/")]
    assert client.post(form["action"]).status_code == 302
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)


def test_webhook_of_somebody_else_is_not_found(client, signed_in, outsider):
    client.post("/webhooks/", {"url": URL})
    row = WebhookEndpoint.objects.get()
    stranger = signed_in(outsider)
    assert stranger.get(f"/webhooks/{row.pk}/").status_code == 404
    for action in ("switch", "secret", "delete"):
        assert stranger.post(f"/webhooks/{row.pk}/{action}/").status_code == 404
    assert WebhookEndpoint.objects.get().is_enabled
