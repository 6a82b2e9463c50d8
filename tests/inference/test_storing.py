"""What is kept of a job, for how long, and what is not kept at all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from marketplace.inference import events, selectors, services
from marketplace.inference.errors import IdempotencyConflictError, JobNotFinishedError, JobPayloadDeletedError
from marketplace.inference.models import Job, JobPayload
from marketplace.inference.services import keeping
from models_registry.models import Release, ReleaseState
from models_registry.runtime.errors import InputError
from models_registry.runtime.specs import RunResult
from tests.fixtures.people import PUBLISHER

pytestmark = pytest.mark.django_db
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})


@pytest.fixture
def create(sell, buyer, clean_broker):
    sold = sell(calls=200)

    def make(**extra) -> Job:
        values = {"account": buyer, "model_id": sold.model_id, "inputs": "the house", "store": False, **extra}
        return services.job_create(**values)[0]

    return make


def finish(job: Job) -> Job:
    result = RunResult(outputs=[[0.5]] * job.input_count, fingerprint={}, timings={}, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)
    return Job.objects.get(pk=job.pk)


def test_job_that_stores_nothing_loses_its_inputs_when_it_ends(create):
    job = create()
    assert selectors.job_request(job)["inputs"] == ["the house"]
    job = finish(job)
    assert (selectors.job_request(job), bytes(JobPayload.objects.get().request)) == (None, b"")


def test_job_that_stores_nothing_hands_its_outputs_out_once(create):
    job = finish(create())
    assert services.job_hand_out(job).outputs == [[0.5]]
    assert services.job_hand_out(job) is None
    assert JobPayload.objects.count() == 0


def test_job_that_stores_nothing_and_that_nobody_fetches_is_empty_after_minutes(create, settings):
    job = finish(create())
    left = JobPayload.objects.get().delete_at - timezone.now()
    assert timedelta(0) < left <= timedelta(seconds=settings.PAYLOAD_HANDOUT_S)
    assert services.payloads_purge() == 0
    JobPayload.objects.update(delete_at=timezone.now())
    assert services.payloads_purge() == 1
    assert services.job_hand_out(job) is None


def test_job_that_stores_nothing_keeps_nothing_when_it_fails(create):
    services.job_fail(job=services.job_claim(job_id=create().pk), error=InputError("Input 1 is blank."))
    assert JobPayload.objects.count() == 0


def test_job_that_is_stored_is_handed_out_as_often_as_asked_and_kept_from_its_end_on(create, settings):
    job = create(store=True)
    JobPayload.objects.update(delete_at=timezone.now())
    job = finish(job)
    assert services.job_hand_out(job).outputs == services.job_hand_out(job).outputs == [[0.5]]
    left = JobPayload.objects.get().delete_at - timezone.now()
    assert left > timedelta(seconds=settings.PAYLOAD_RETENTION_S - 60)


def test_job_api_that_stores_nothing_answers_its_outputs_once_and_says_so(create, with_key, buyer):
    client, job = with_key(buyer), create()
    open_body = client.get(f"/api/v1/jobs/{job.pk}").json()
    assert (open_body["store"], open_body["outputs"]) == (False, None)
    assert open_body["payload_until"] is not None
    finish(job)
    listed = client.get("/api/v1/jobs").json()["results"][0]
    assert (listed["store"], listed["payload_until"] is not None) == (False, True)
    bodies = [client.get(f"/api/v1/jobs/{job.pk}").json() for _ in range(2)]
    assert [body["outputs"] for body in bodies] == [[[0.5]], None]
    assert [bool(body["output_salt"]) for body in bodies] == [True, False]
    assert [body["payload_until"] for body in bodies] == [None, None]


def test_job_api_that_stores_nothing_keeps_its_outputs_for_who_reads_them(create, with_key, buyer):
    client, job = with_key(buyer), finish(create())
    url = f"/api/v1/jobs/{job.pk}"
    head = client.head(url)
    assert (head.status_code, head.headers["Cache-Control"]) == (200, "no-store")
    assert [client.get(url).json()["outputs"] for _ in range(2)] == [[[0.5]], None]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/{}/retry"])
def test_job_api_answers_a_request_again_with_200_once_its_job_has_ended(create, with_key, buyer, path):
    client, before = with_key(buyer), create(store=True)
    finish(before)
    body = {"model": str(before.model_id), "inputs": "the house"}

    def post():
        return client.post(path.format(before.pk), body, format="json", headers={"Idempotency-Key": "one"})

    first, still_open = post(), post()
    assert [(answer.status_code, answer.json()["outputs"]) for answer in (first, still_open)] == [(202, None)] * 2
    finish(Job.objects.get(pk=first.json()["id"]))
    again = post()
    assert (again.status_code, again.json()["outputs"]) == (200, [[0.5]])
    assert (again.headers["Cache-Control"], again.headers["Idempotent-Replay"]) == ("no-store", "true")
    assert "Retry-After" not in again.headers


@pytest.mark.django_db(transaction=True)
def test_text_told_of_a_job_that_stores_nothing_is_forgotten_when_its_outputs_are_handed_out(create, clean_broker):
    job, stored = create(), create(store=True)
    for told in (job, stored):
        finish(told)
        events.job_event_add(told.pk, events.TEXT, {"text": "a text"})
        assert [event.kind for event in events.job_events_read(told.pk)] == ["state", "end", "text"]
        assert services.job_hand_out(Job.objects.get(pk=told.pk)) is not None
    assert len(events.job_events_read(stored.pk)) == 3
    with clean_broker.client() as client:
        assert client.keys("*job-events*") == [f"weighhouse:job-events:{stored.pk}".encode()]
    # Who still follows it hears of the end from the database.
    assert [event.kind for event in events.job_events_read(job.pk)] == ["end"]


@pytest.mark.django_db(transaction=True)
def test_text_told_of_a_job_that_stores_nothing_is_forgotten_when_it_is_cancelled(create, buyer):
    job = create()
    services.job_claim(job_id=job.pk)
    events.job_event_add(job.pk, events.TEXT, {"text": "a text"})
    services.job_cancel(account=buyer, job_id=job.pk)
    assert [event.kind for event in events.job_events_read(job.pk)] == ["end"]


@pytest.mark.django_db(transaction=True)
def test_text_told_of_a_batch_that_stores_nothing_is_forgotten_when_its_outputs_are_handed_out(
    create, buyer, clean_broker
):
    model_id = create(store=True).model_id
    batch, _ = services.batch_create(account=buyer, model_id=model_id, inputs=["x"] * 65, store=False)
    jobs = list(Job.objects.filter(batch=batch))
    for job in jobs:
        assert [event.data["state"] for event in events.job_events_read(job.pk)] == ["queued"]
        finish(job)
        assert [event.data["state"] for event in events.job_events_read(job.pk)] == ["queued", "succeeded"]
    services.batch_hand_out(batch, after=0, limit=200)
    with clean_broker.client() as client:
        left = {key.decode().rpartition(":")[2] for key in client.keys("*job-events*")}
    assert left.isdisjoint(str(job.pk) for job in jobs) and left


@pytest.mark.django_db(transaction=True)
def test_job_that_stores_nothing_and_is_asked_for_at_the_same_time_answers_one(create):
    job = finish(create())

    def ask(_: int) -> object:
        try:
            return services.job_hand_out(Job.objects.get(pk=job.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert sum(found is not None for found in threads.map(ask, range(6))) == 1


def test_batch_that_stores_nothing_keeps_outputs_until_it_ended_and_drops_what_was_read(create, buyer, settings):
    model_id = create().model_id
    batch, _ = services.batch_create(account=buyer, model_id=model_id, inputs=["x"] * 130, store=False)
    first, second, third = Job.objects.filter(batch=batch).order_by("batch_position")
    finish(first)
    finish(second)
    JobPayload.objects.update(delete_at=timezone.now())
    services.payloads_purge()
    page = services.batch_hand_out(batch, after=0, limit=100)
    assert [entry["output"] for entry in page] == [[0.5]] * 100
    page = services.batch_hand_out(batch, after=0, limit=100)
    assert [entry["output"] for entry in page] == [None] * 64 + [[0.5]] * 36
    finish(third)
    for payload in JobPayload.objects.filter(job__batch=batch):
        assert payload.delete_at > timezone.now()
    services.batch_hand_out(batch, after=100, limit=100)
    assert JobPayload.objects.filter(job__batch=batch).count() == 0


def test_job_again_has_the_same_inputs_and_is_a_job_of_its_own(create, buyer):
    job = create(store=True, inputs=["one", "two"], parameters={"pooling": "cls"})
    with pytest.raises(JobNotFinishedError):
        services.job_again(account=buyer, client="", job_id=job.pk)
    finish(job)
    again, is_new = services.job_again(account=buyer, client="", job_id=job.pk, idempotency_key="r")
    assert (is_new, again.pk == job.pk) == (True, False)
    assert selectors.job_request(again) == selectors.job_request(job)
    assert services.job_again(account=buyer, client="", job_id=job.pk, idempotency_key="r")[0] == again


def test_job_again_runs_what_was_pinned_and_named_and_else_what_is_newest(sell, buyer, clean_broker):
    sold = sell(calls=20)
    sold.market.buy(sold.market.add_plan(sold.model_id))  # unmetered, so that it comes first where none is named
    sold.market.index()
    base = {"account": buyer, "model_id": sold.model_id, "inputs": "the house"}
    plain, _ = services.job_create(**base)
    assert (plain.release_digest, plain.licence_id == sold.licence_id) == (sold.release.digest, False)
    values = {"state": ReleaseState.READY, "publisher": PUBLISHER, "task": "feature-extraction"}
    newer = Release.objects.create(digest="0x" + "ab" * 32, name="newer", **values)
    sold.market.release(sold.model_id, newer.digest)
    sold.market.index()
    chosen, _ = services.job_create(**base, release_digest=sold.release.digest, licence_id=sold.licence_id)
    batch, _ = services.batch_create(
        **{**base, "inputs": ["a"]}, release_digest=sold.release.digest, licence_id=sold.licence_id
    )
    of_batch = Job.objects.get(batch=batch)
    for job, digest in ((chosen, sold.release.digest), (of_batch, sold.release.digest), (plain, newer.digest)):
        services.job_cancel(account=buyer, job_id=job.pk)
        again, _ = services.job_again(account=buyer, client="", job_id=job.pk)
        assert (again.release_digest, again.licence_id) == (digest, job.licence_id)
        assert (again.release_is_pinned, again.licence_is_named) == (job is not plain,) * 2


def test_job_again_with_its_key_is_the_same_job_also_once_the_inputs_are_gone(create, buyer):
    job = finish(create(store=True))
    again, _ = services.job_again(account=buyer, client="", job_id=job.pk, idempotency_key="r")
    other = finish(create(store=True, inputs="goods"))
    services.job_payload_delete(account=buyer, job_id=job.pk)
    assert services.job_again(account=buyer, client="", job_id=job.pk, idempotency_key="r") == (again, False)
    with pytest.raises(IdempotencyConflictError):
        services.job_again(account=buyer, client="", job_id=other.pk, idempotency_key="r")
    with pytest.raises(JobPayloadDeletedError):
        services.job_again(account=buyer, client="", job_id=job.pk, idempotency_key="s")


def test_payloads_go_in_time_however_many_are_due(create, monkeypatch):
    monkeypatch.setattr(keeping, "_PURGED_AT_ONCE", 2)
    for _ in range(5):
        finish(create())
    JobPayload.objects.update(delete_at=timezone.now())
    assert (services.payloads_purge(), JobPayload.objects.count()) == (5, 0)


def test_job_whose_inputs_are_gone_cannot_be_tried_again(create, buyer):
    job = finish(create())
    with pytest.raises(JobPayloadDeletedError):
        services.job_again(account=buyer, client="", job_id=job.pk)
