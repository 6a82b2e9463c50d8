"""Deliveries to real receivers: signed, once claimed, tried again, given up, resent."""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import standardwebhooks
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from marketplace.webhooks import services
from marketplace.webhooks.errors import WebhookDisabledError, WebhookEventNotFoundError, WebhookNotFoundError
from marketplace.webhooks.models import EventKind, WebhookDelivery, WebhookEndpoint, WebhookEvent
from marketplace.webhooks.services import delivering, events
from marketplace.webhooks.services.delivering import DELAYS_S
from marketplace.webhooks.services.events import AT_ONCE

pytestmark = pytest.mark.django_db


@pytest.fixture
def there(receiver, allow):
    return allow(receiver())


@pytest.fixture
def endpoint(there, buyer, clean_broker):
    """The endpoint and its secret."""
    return services.endpoint_create(account=buyer, url=there.url)


def send(delivery: WebhookDelivery) -> bool:
    done = services.delivery_send(delivery_id=delivery.pk)
    delivery.refresh_from_db()
    return done


def make_due() -> None:
    WebhookDelivery.objects.update(next_attempt_at=None)


def test_delivery_is_verified_by_the_reference_library(endpoint, there, buyer, happen):
    _, secret = endpoint
    delivery = happen(buyer)
    assert send(delivery)
    (got,) = there.requests
    body = standardwebhooks.Webhook(secret).verify(got.body, got.headers)
    assert (body["type"], body["data"]) == ("job.succeeded", {"job": delivery.event.subject})
    assert got.headers["webhook-id"] == delivery.event_id
    assert (delivery.state, delivery.log[0]["status"]) == ("delivered", 204)


def test_delivery_with_a_changed_byte_is_not_verified(endpoint, there, buyer, happen):
    send(happen(buyer))
    (got,) = there.requests
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(endpoint[1]).verify(got.body.replace(b"succeeded", b"succeedet"), got.headers)


def test_delivery_after_a_rotation_is_verified_by_both_secrets_until_the_overlap_is_over(
    endpoint, there, buyer, happen
):
    row, old = endpoint
    _, new = services.endpoint_secret_rotate(account=buyer, endpoint_id=row.pk)
    send(happen(buyer))
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(there.requests[0].body, there.requests[0].headers)
    WebhookEndpoint.objects.update(previous_until=timezone.now())
    send(happen(buyer))
    standardwebhooks.Webhook(new).verify(there.requests[1].body, there.requests[1].headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(old).verify(there.requests[1].body, there.requests[1].headers)


def test_secret_is_not_readable_in_the_database(endpoint):
    row, secret = endpoint
    row.refresh_from_db()
    assert secret.removeprefix("whsec_").encode() not in bytes(row.secret)


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
def test_delivery_with_another_status_than_2xx_is_tried_again_with_the_same_id_and_body(
    endpoint, there, buyer, happen, status
):
    delivery = happen(buyer)
    there.status = status
    assert not send(delivery)
    assert (delivery.state, delivery.log[0]["status"]) == ("pending", status)
    assert delivery.next_attempt_at > timezone.now()
    assert not send(delivery), "it is not due yet"
    there.status = 200
    make_due()
    assert send(delivery)
    first, second = there.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


def test_delivery_is_tried_over_about_a_day_and_then_given_up(endpoint, there, buyer, happen):
    delivery = happen(buyer)
    there.status = 500
    waits = []
    for _ in range(len(DELAYS_S) + 1):
        began = timezone.now()
        assert not send(delivery)
        waits.append(((delivery.next_attempt_at or began) - began).total_seconds())
        if delivery.state == "pending":
            make_due()
    assert 20 * 3600 < sum(waits[:-1]) < 30 * 3600
    assert waits[:-1] == sorted(waits[:-1])
    assert (delivery.state, len(there.requests)) == ("failed", len(DELAYS_S) + 1)
    assert not send(delivery)


def test_delivery_given_up_is_resent_under_the_same_id(endpoint, there, buyer, happen):
    delivery = happen(buyer)
    WebhookDelivery.objects.update(state="failed", attempts=9)
    services.delivery_resend(account=buyer, endpoint_id=endpoint[0].pk, event_id=delivery.event_id)
    assert send(delivery)
    assert there.requests[0].headers["webhook-id"] == delivery.event_id


def test_delivery_of_somebody_else_is_not_found(endpoint, buyer, outsider, happen):
    delivery = happen(buyer)
    with pytest.raises(WebhookNotFoundError):
        services.delivery_resend(account=outsider, endpoint_id=endpoint[0].pk, event_id=delivery.event_id)
    with pytest.raises(WebhookEventNotFoundError):
        services.delivery_resend(account=buyer, endpoint_id=endpoint[0].pk, event_id="evt_0")


def test_delivery_to_a_dead_receiver_names_the_reason_in_the_log(buyer, happen, allow, receiver, clean_broker):
    there = allow(receiver(raw=lambda connection: None))
    services.endpoint_create(account=buyer, url=there.url)
    delivery = happen(buyer)
    send(delivery)
    assert delivery.log[0]["status"] is None
    assert delivery.log[0]["error"]["code"] == "outgoing.unreachable"


def test_delivery_to_a_place_taken_off_the_list_is_refused(endpoint, there, buyer, happen, settings):
    delivery = happen(buyer)
    settings.OUTGOING_ALLOW = []
    send(delivery)
    assert (delivery.log[0]["error"]["code"], there.connections) == ("outgoing.url_invalid", 0)


def test_endpoint_that_says_gone_is_switched_off_at_once(endpoint, there, buyer, happen):
    there.status = 410
    waiting, delivery = happen(buyer), happen(buyer)
    send(delivery)
    row = WebhookEndpoint.objects.get()
    assert "410" in row.disabled_reason
    waiting.refresh_from_db()
    assert waiting.state == "failed"
    with pytest.raises(WebhookDisabledError):
        services.delivery_resend(account=buyer, endpoint_id=row.pk, event_id=waiting.event_id)
    there.status = 200
    services.endpoint_change(account=buyer, endpoint_id=row.pk, is_enabled=True)
    services.delivery_resend(account=buyer, endpoint_id=row.pk, event_id=waiting.event_id)
    assert send(waiting)


def test_endpoint_that_fails_for_days_is_switched_off_with_the_reason(endpoint, there, buyer, happen):
    there.status = 500
    delivery = happen(buyer)
    send(delivery)
    assert WebhookEndpoint.objects.get().is_enabled
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=3, minutes=1))
    make_due()
    send(delivery)
    row = WebhookEndpoint.objects.get()
    assert (row.is_enabled, "72 hours" in row.disabled_reason) == (False, True)
    with transaction.atomic():
        services.event_record(account_id=buyer.pk, kind=EventKind.JOB_FAILED, subject=uuid.uuid4(), data={})
    assert WebhookEvent.objects.count() == 1, "nobody is told, so nothing is written"


def test_endpoint_that_works_again_begins_to_fail_anew(endpoint, there, buyer, happen):
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=9))
    send(happen(buyer))
    assert WebhookEndpoint.objects.get().failing_since is None


def test_event_reaches_the_endpoints_that_want_its_kind_and_no_other_account(
    there, buyer, outsider, happen, clean_broker
):
    wants, _ = services.endpoint_create(account=buyer, url=there.url, kinds=["batch.ended"])
    services.endpoint_create(account=buyer, url=there.url, kinds=["job.failed"])
    services.endpoint_create(account=outsider, url=there.url)
    assert happen(buyer, EventKind.BATCH_ENDED).endpoint == wants


def test_event_of_a_transaction_that_is_rolled_back_never_was(endpoint, buyer):
    with transaction.atomic():
        services.event_record(account_id=buyer.pk, kind=EventKind.JOB_FAILED, subject=uuid.uuid4(), data={})
        transaction.set_rollback(True)
    assert (WebhookEvent.objects.count(), WebhookDelivery.objects.count()) == (0, 0)


def test_account_has_only_a_few_deliveries_under_way_and_leaves_the_others_their_turn(endpoint, there, buyer, happen):
    busy = [happen(buyer) for _ in range(AT_ONCE)]
    WebhookDelivery.objects.filter(pk__in=[one.pk for one in busy]).update(
        lease_until=timezone.now() + timedelta(seconds=60)
    )
    next_one = happen(buyer)
    assert not send(next_one)
    assert there.connections == 0
    WebhookDelivery.objects.filter(pk=busy[0].pk).update(lease_until=timezone.now())
    assert send(next_one)


def test_deliveries_of_an_event_whose_time_is_over_are_deleted_and_waiting_ones_stay(endpoint, buyer, happen, settings):
    done, waiting = happen(buyer), happen(buyer)
    send(done)
    old = timezone.now() - timedelta(seconds=settings.WEBHOOK_LOG_RETENTION_S + 1)
    WebhookEvent.objects.update(created_at=old)
    assert services.events_purge() == 1
    assert list(WebhookEvent.objects.all()) == [waiting.event]


def orphan_left(buyer, happen, monkeypatch) -> WebhookDelivery:
    """What is left where an endpoint is deleted after `event_record` has found it."""
    row = WebhookEndpoint.objects.get()

    def found_and_deleted(account_id):
        services.endpoint_delete(account=buyer, endpoint_id=row.pk)
        return [row]

    with monkeypatch.context() as patched:
        patched.setattr(events._enabled, "rows", found_and_deleted)
        return happen(buyer)


@pytest.mark.django_db(transaction=True)
def test_endpoint_deleted_while_a_job_ends_does_not_fail_its_end(endpoint, there, buyer, happen, monkeypatch):
    # The commit is what a constraint would have failed.
    orphan = orphan_left(buyer, happen, monkeypatch)
    assert not send(orphan)
    WebhookDelivery.objects.update(announced_at=None)
    services.webhooks_sweep()
    events.deliveries_next(account_id=buyer.pk)
    orphan.refresh_from_db()
    assert (orphan.attempts, orphan.announced_at, there.connections) == (0, None, 0)
    with pytest.raises(WebhookNotFoundError):
        services.delivery_resend(account=buyer, endpoint_id=endpoint[0].pk, event_id=orphan.event_id)


def test_delivery_that_lost_its_endpoint_goes_with_its_event(endpoint, there, buyer, happen, settings, monkeypatch):
    orphan_left(buyer, happen, monkeypatch)
    services.endpoint_create(account=buyer, url=there.url)
    waiting = happen(buyer)
    old = timezone.now() - timedelta(seconds=settings.WEBHOOK_LOG_RETENTION_S + 1)
    WebhookEvent.objects.update(created_at=old)
    assert services.events_purge() == 1
    assert list(WebhookDelivery.objects.all()) == [waiting]


@pytest.mark.django_db(transaction=True)
def test_delivery_claimed_by_many_workers_at_once_is_sent_once(buyer, happen, allow, receiver, clean_broker):
    release = threading.Event()

    def raw(connection) -> None:
        release.wait(20)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    there = allow(receiver(raw=raw))
    services.endpoint_create(account=buyer, url=there.url)
    delivery = happen(buyer)
    left = threading.Semaphore(0)

    def work(_: int) -> bool:
        try:
            return services.delivery_send(delivery_id=delivery.pk)
        finally:
            connection.close()
            left.release()

    with ThreadPoolExecutor(6) as threads:
        results = [threads.submit(work, number) for number in range(6)]
        # Five leave with nothing while the one still waits for its receiver.
        for _ in range(5):
            assert left.acquire(timeout=30)
        release.set()
        assert sorted(result.result() for result in results) == [False] * 5 + [True]
    assert len(there.requests) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("point", "arrivals"), [("webhook.claimed", 1), ("webhook.sent", 2)])
def test_worker_killed_at_a_delivery_loses_nothing_and_the_id_stays(
    buyer, happen, allow, receiver, manage, spawn, celery_worker, point, arrivals, settings, tmp_path
):
    there = allow(receiver())
    services.endpoint_create(account=buyer, url=there.url)
    allowed = {"WEIGHHOUSE_OUTGOING_ALLOW": there.place}
    faults = {"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    doomed = celery_worker(queues="webhooks", env={**allowed, **faults})
    delivery = happen(buyer)
    doomed.wait_until((tmp_path / point).exists, what=f"at {point}", timeout_s=60)
    doomed.kill()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.log) == ("pending", [])
    services.webhooks_sweep()
    assert not services.delivery_send(delivery_id=delivery.pk), "the lease of the dead worker holds"
    WebhookDelivery.objects.update(lease_until=timezone.now())
    assert send(delivery)
    assert [got.headers["webhook-id"] for got in there.requests] == [delivery.event_id] * arrivals
    assert len({got.body for got in there.requests}) == 1
    assert json.loads(there.requests[0].body)["type"] == "job.succeeded"


def test_slow_receivers_hold_up_no_more_threads_than_the_site_gives_them(endpoint, there, buyer, happen):
    delivery = happen(buyer)
    held = [delivering._senders.acquire(blocking=False) for _ in range(settings.WEBHOOK_SENDERS)]
    assert all(held)
    try:
        assert not send(delivery)
    finally:
        for _ in held:
            delivering._senders.release()
    # The next sweep announces it, and the receiver was not asked.
    assert (there.requests, delivery.attempts, delivery.state) == ([], 0, "pending")
    assert delivery.announced_at is None
    assert send(delivery)


def test_what_waited_for_its_turn_is_announced_when_another_delivery_has_ended(endpoint, buyer, happen):
    first, waiting = happen(buyer), happen(buyer)
    WebhookDelivery.objects.filter(pk=waiting.pk).update(announced_at=None)
    assert send(first)
    waiting.refresh_from_db()
    assert waiting.announced_at is not None
