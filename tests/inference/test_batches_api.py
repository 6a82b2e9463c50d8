"""`/api/v1/batches` and the filters of `/api/v1/jobs`, as programs meet them."""

from datetime import timedelta

import pytest
from django.utils import timezone
from weighhouse.core import canonical

from marketplace.inference import services
from marketplace.inference.models import Batch, Job, Receipt
from marketplace.inference.receipts.keys import worker_key_create
from models_registry.runtime.specs import RunResult
from tests.inference.receipt_steps import on_chain

pytestmark = pytest.mark.django_db
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})


@pytest.fixture
def sold(sell, clean_broker):
    return sell(calls=1000)


@pytest.fixture
def client(with_key, buyer):
    return with_key(buyer, "run")


@pytest.fixture
def post(client, sold):
    def send(*, headers=None, **changes):
        body = {"model": str(sold.model_id), "inputs": ["the house"] * 130, **changes}
        return client.post("/api/v1/batches", body, format="json", headers=headers)

    return send


def finish(job: Job) -> None:
    outputs = [[float(job.batch_position + place)] for place in range(job.input_count)]
    result = RunResult(outputs=outputs, fingerprint={}, timings={}, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)


def test_api_batch_is_accepted_and_shows_its_progress(post, client):
    accepted = post()
    assert accepted.status_code == 202, accepted.content
    first = Job.objects.get(batch_position=0)
    finish(first)
    body = client.get(accepted.headers["Location"]).json()
    assert (body["state"], body["inputs"], body["jobs"]) == ("open", 130, 3)
    assert body["progress"] == pytest.approx(64 / 130)
    assert (body["inputs_by_state"]["succeeded"], body["jobs_by_state"]["queued"]) == (64, 2)
    assert body["results_until"] is not None


def test_api_batch_names_the_acceptances_of_its_jobs_which_are_signed_as_it_is_accepted(post, client, worker_key):
    page, seen = post().json()["acceptances_url"], []
    assert [row.acceptance is None for row in Receipt.objects.all()] == [False] * 3
    finish(Job.objects.get(batch_position=0))
    while page:
        body = client.get(page, {} if seen else {"limit": 100}).json()
        seen, page = [*seen, *body["results"]], body["next"]
    assert [(row["index"], row["inputs"]) for row in seen] == [(0, 64), (64, 64), (128, 2)]
    assert [row["acceptance"]["message"]["calls"] for row in seen] == ["64", "64", "2"]
    for row in seen:
        file = client.get(f"/api/v1/jobs/{row['job']}/acceptance").content
        assert file == canonical.dumps(row["acceptance"])
        assert on_chain(file).ok


def test_api_batch_of_a_site_without_a_key_has_acceptances_of_what_waits_once_there_is_one(post, client, market):
    url = post().json()["acceptances_url"]
    assert {row["acceptance"] for row in client.get(url).json()["results"]} == {None}
    finish(Job.objects.get(batch_position=0))
    worker_key_create()
    signed = [row["acceptance"] is not None for row in client.get(f"{url}?limit=200").json()["results"]]
    assert signed == [False, True, True]


def test_api_batch_results_are_paged_in_the_order_of_the_inputs(post, client):
    url = post().headers["Location"]
    for job in Job.objects.order_by("-batch_position"):
        finish(job)
    page, seen = f"{url}/results?limit=60", []
    while page:
        response = client.get(page)
        seen += response.json()["results"]
        assert (
            response.headers.get("Link", "").startswith(f"<{response.json()['next']}>") or not response.json()["next"]
        )
        assert response.json()["results_until"] is not None
        page = response.json()["next"]
    assert [(entry["index"], entry["output"]) for entry in seen] == [(n, [float(n)]) for n in range(130)]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "after=-1", "after=x", "limit=1e9"])
def test_api_batch_results_of_no_page_are_refused(post, client, query):
    response = client.get(f"{post().headers['Location']}/results?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid")


def test_api_batch_sent_again_with_its_key_is_the_same_batch(post):
    first, again = post(headers={"Idempotency-Key": "k"}), post(headers={"Idempotency-Key": "k"})
    assert (again.json()["id"], again.headers["Idempotent-Replay"]) == (first.json()["id"], "true")
    changed = post(headers={"Idempotency-Key": "k"}, store=False)
    assert (changed.status_code, changed.json()["code"]) == (422, "job.idempotency_conflict")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"inputs": "a text"}, 400, "request.invalid"),
        ({"inputs": []}, 422, "batch.invalid"),
        ({"inputs": ["x"] * 1001}, 422, "batch.invalid"),
        ({"inputs": ["x", None]}, 422, "input.invalid"),
        ({"inputs": ["x", "a\0b"]}, 422, "input.invalid"),
        ({"inputs": [{"upload": "7a1e0000-0000-4000-8000-000000000000"}]}, 404, "input_upload.not_found"),
        ({"inputs": ["x"] * 64 * 15 + ["x"], "licence": "7"}, 403, "licence.none"),
        ({"store": "maybe"}, 400, "request.invalid"),
        ({"model": "999"}, 404, "model.not_found"),
    ],
)
def test_api_batch_that_is_malformed_is_refused_in_words(post, changes, status, code):
    response = post(**changes)
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert (Batch.objects.count(), Job.objects.count()) == (0, 0)


def test_api_batch_of_too_many_inputs_is_refused_before_it_looks_at_one(post, monkeypatch):
    monkeypatch.setattr("rest_framework.fields.ListField.run_child_validation", None)
    response = post(inputs=[{}] * 1001)
    assert (response.status_code, response.json()["code"]) == (422, "batch.invalid")
    assert response.json()["max_inputs"] == 1000


def test_api_batch_that_stores_nothing_keeps_its_outputs_for_who_reads_them(post, client):
    url = f"{post(inputs=['x'], store=False).headers['Location']}/results"
    finish(Job.objects.get())
    assert client.head(url).status_code == 200
    assert [client.get(url).json()["results"][0]["output"] for _ in range(2)] == [[0.0], None]


def test_api_batches_are_listed_and_cancelled_by_their_owner_alone(post, client, with_key, outsider):
    url = post().headers["Location"]
    stranger = with_key(outsider)
    for response in (stranger.get(url), stranger.get(f"{url}/results"), stranger.post(f"{url}/cancel")):
        assert (response.status_code, response.json()["code"]) == (404, "batch.not_found")
    assert stranger.get("/api/v1/batches").json()["results"] == []
    assert client.get("/api/v1/batches").json()["results"][0]["state"] == "open"
    assert client.post(f"{url}/cancel").json()["state"] == "ended"


def test_api_jobs_are_filtered(post, client, sold):
    batch_id = post(inputs=["x"] * 65).json()["id"]
    body = {"model": str(sold.model_id), "inputs": "the house"}
    single = client.post("/api/v1/jobs", body, format="json").json()["id"]
    now = timezone.now()
    later, earlier = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()

    def found(**query) -> int:
        return len(client.get("/api/v1/jobs", query).json()["results"])

    client.post(f"/api/v1/jobs/{single}/cancel")
    assert (found(), found(batch=batch_id), found(state="cancelled"), found(state="queued")) == (3, 2, 1, 2)
    assert (found(model=sold.model_id), found(model=sold.model_id + 1)) == (3, 0)
    assert (found(licence=sold.licence_id), found(licence="0")) == (3, 0)
    assert (found(task="feature-extraction"), found(task="text-generation")) == (3, 0)
    assert (found(created_after=earlier), found(created_after=later)) == (3, 0)
    assert (found(created_before=later), found(created_before=earlier)) == (3, 0)


@pytest.mark.parametrize("query", ["state=done", "model=x", "batch=1", "created_after=yesterday", "licence=-1"])
def test_api_jobs_with_a_filter_that_is_none_are_refused(client, query):
    response = client.get(f"/api/v1/jobs?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid")


def test_api_jobs_of_a_filter_are_paged_without_gap_or_repeat_while_others_arrive(post, client, sold):
    post(inputs=["x"] * 64 * 5)
    Job.objects.update(created_at=timezone.now())
    expected = [str(pk) for pk in Job.objects.order_by("-created_at", "-id").values_list("pk", flat=True)]
    url, seen = "/api/v1/jobs?limit=2&state=queued", []
    while url:
        page = client.get(url).json()
        seen += [job["id"] for job in page["results"]]
        if url.count("cursor") == 0:
            body = {"model": str(sold.model_id), "inputs": "the house"}
            assert client.post("/api/v1/jobs", body, format="json").status_code == 202
        last, url = page, page["next"]
    assert seen == expected
    assert [job["id"] for job in client.get(last["previous"]).json()["results"]] == expected[2:4]


def test_api_job_retry_is_a_new_job_with_the_same_inputs(client, sold):
    body = {"model": str(sold.model_id), "inputs": "the house"}
    url = client.post("/api/v1/jobs", body, format="json").headers["Location"]
    assert client.post(f"{url}/retry").json()["code"] == "job.not_finished"
    client.post(f"{url}/cancel")
    again = client.post(f"{url}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert again.headers["Location"] != url
    client.delete(f"{url}/payload")
    assert client.post(f"{url}/retry").json()["code"] == "job.payload_deleted"
