"""Batches, uploads and webhooks through a real worker, a real broker and a real sandbox."""

import time
from datetime import timedelta
from io import BytesIO

import pytest
import standardwebhooks
from django.utils import timezone

from marketplace.inference import services
from marketplace.inference.models import Batch, InputUpload, Job, LicenceUse
from marketplace.webhooks import services as webhooks
from marketplace.webhooks.models import WebhookDelivery, WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)


def wait_until(condition, *, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, list(Job.objects.values_list("state", "error"))
        time.sleep(0.1)


def test_worker_runs_a_batch_with_an_upload_and_tells_of_it_once_each(sell, buyer, celery_worker, receiver, settings):
    there = receiver()
    sold = sell(calls=100)
    settings.OUTGOING_ALLOW = [there.place]
    _, secret = webhooks.endpoint_create(account=buyer, url=there.url)
    text = b"the weigh house"
    upload = services.input_upload_receive(account=buyer, media_type="text/plain", size=len(text), stream=BytesIO(text))
    inputs = [text.decode(), {"upload": str(upload.pk)}, *(f"model {number}" for number in range(68))]
    worker = celery_worker(queues="inference,webhooks", env={"WEIGHHOUSE_OUTGOING_ALLOW": there.place})
    batch, _ = services.batch_create(account=buyer, model_id=sold.model_id, inputs=inputs, store=False)
    wait_until(lambda: Batch.objects.get().ended_at is not None)
    wait_until(lambda: len(there.requests) >= 3)
    states = [job.state for job in Job.objects.all()]
    assert (states, LicenceUse.objects.get().used) == (["succeeded"] * 2, 70)
    results = services.batch_hand_out(batch, after=0, limit=100)
    assert [len(entry["output"]) for entry in results] == [32] * 70
    assert results[0]["output"] == results[1]["output"], "the upload and the same text give the same vector"
    assert InputUpload.objects.count() == 0
    bodies = [standardwebhooks.Webhook(secret).verify(got.body, got.headers) for got in there.requests]
    assert sorted(body["type"] for body in bodies) == ["batch.ended", "job.succeeded", "job.succeeded"]
    assert {body["data"]["batch"] for body in bodies} == {str(batch.pk)}
    assert len({got.headers["webhook-id"] for got in there.requests}) == 3
    for said in (worker.output(), *(got.body.decode() for got in there.requests)):
        assert "weigh house" not in said


def test_worker_killed_as_a_job_ends_has_told_nobody_and_the_next_tells_once(sell, buyer, celery_worker, tmp_path):
    point = "job.ending"
    webhooks.endpoint_create(account=buyer, url="https://hook.example/")
    sold = sell(calls=3)
    env = {"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    doomed = celery_worker(queues="inference", env=env)
    batch, _ = services.batch_create(account=buyer, model_id=sold.model_id, inputs=["the house"])
    doomed.wait_until((tmp_path / point).exists, what=f"at {point}", timeout_s=90)
    doomed.kill()
    assert (WebhookEvent.objects.count(), Job.objects.get().state) == (0, "running")
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    services.jobs_sweep()
    celery_worker(queues="inference")
    wait_until(lambda: Batch.objects.get().ended_at is not None)
    assert sorted(WebhookEvent.objects.values_list("kind", flat=True)) == ["batch.ended", "job.succeeded"]
    assert WebhookDelivery.objects.count() == 2
    assert (LicenceUse.objects.get().used, LicenceUse.objects.get().reserved) == (1, 0)
    assert batch.pk == Batch.objects.get().pk
