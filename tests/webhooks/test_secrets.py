"""Secrets of endpoints, while the key that encrypts them is replaced and after it is gone."""

import pytest
import standardwebhooks
from cryptography.fernet import Fernet
from django.utils import timezone

from marketplace.webhooks import services
from marketplace.webhooks.models import WebhookDelivery, WebhookEndpoint
from marketplace.webhooks.services import endpoints
from marketplace.webhooks.signatures import secret_open, secret_reseal, secret_seal
from marketplace.webhooks.tasks import webhook_purge

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(receiver, allow):
    return allow(receiver())


@pytest.fixture
def endpoint(there, buyer, clean_broker):
    """The endpoint and its secret."""
    return services.endpoint_create(account=buyer, url=there.url)


@pytest.fixture
def newer_key(settings):
    """Put a newer key before the one that sealed everything; the newer one."""
    newer = Fernet.generate_key().decode()
    settings.PAYLOAD_KEY = f"{newer},{settings.PAYLOAD_KEY}"
    return newer


def test_delivery_whose_secret_is_lost_is_not_sent_and_says_what_to_do(endpoint, there, buyer, happen, settings):
    delivery = happen(buyer)
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    assert not services.delivery_send(delivery_id=delivery.pk)
    delivery.refresh_from_db()
    error = delivery.log[0]["error"]
    assert (error["code"], there.connections) == ("webhook.secret_lost", 0)
    assert "new secret" in error["message"]
    assert (delivery.state, delivery.attempts, delivery.log[0]["status"]) == ("pending", 1, None)
    assert delivery.next_attempt_at > timezone.now()
    assert WebhookEndpoint.objects.get().failing_since is not None


def test_delivery_whose_secret_was_lost_is_sent_with_a_new_one(endpoint, there, buyer, happen, settings):
    delivery = happen(buyer)
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    services.delivery_send(delivery_id=delivery.pk)
    _, secret = services.endpoint_secret_rotate(account=buyer, endpoint_id=endpoint[0].pk)
    WebhookDelivery.objects.update(next_attempt_at=None)
    assert services.delivery_send(delivery_id=delivery.pk)
    standardwebhooks.Webhook(secret).verify(there.requests[0].body, there.requests[0].headers)


def test_secrets_outlive_the_old_key_once_the_chore_has_run(endpoint, buyer, settings, newer_key):
    row, old = endpoint
    _, new = services.endpoint_secret_rotate(account=buyer, endpoint_id=row.pk)
    webhook_purge()
    settings.PAYLOAD_KEY = newer_key
    row.refresh_from_db()
    assert (secret_open(row.secret), secret_open(row.previous_secret)) == (new, old)


def test_secrets_are_sealed_anew_once(endpoint, newer_key):
    assert services.secrets_reseal() == 1
    sealed = bytes(WebhookEndpoint.objects.get().secret)
    assert services.secrets_reseal() == 0
    assert bytes(WebhookEndpoint.objects.get().secret) == sealed


def test_secret_that_no_key_opens_is_left_as_it_is(endpoint, settings):
    sealed = bytes(WebhookEndpoint.objects.get().secret)
    settings.PAYLOAD_KEY = ",".join(Fernet.generate_key().decode() for _ in range(2))
    assert services.secrets_reseal() == 0
    assert bytes(WebhookEndpoint.objects.get().secret) == sealed


def test_secret_rotated_while_it_is_sealed_anew_stays_the_new_one(endpoint, newer_key, monkeypatch):
    def reseal_late(token):
        WebhookEndpoint.objects.update(secret=secret_seal("whsec_rotated"))
        return secret_reseal(token)

    monkeypatch.setattr(endpoints, "secret_reseal", reseal_late)
    assert services.secrets_reseal() == 0
    assert secret_open(WebhookEndpoint.objects.get().secret) == "whsec_rotated"
