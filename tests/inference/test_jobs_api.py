"""`/api/v1/jobs`, as programs meet it."""

import base64
import json
import re
from urllib.parse import urlencode

import pytest
from django.db import OperationalError

from marketplace.inference import ledger, services
from marketplace.inference.models import Job, JobPayload
from marketplace.inference.services.placing import QUEUE_FULL_RETRY_S
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    return sell(calls=30)


@pytest.fixture
def post(sold, with_key, buyer):
    client = with_key(buyer, "run")

    def send(*, client=client, headers=None, **changes):
        body = {"model": str(sold.model_id), "inputs": ["the house"], **changes}
        return client.post("/api/v1/jobs", body, format="json", headers=headers)

    return send


def finish(job_id: str) -> None:
    job = services.job_claim(job_id=job_id)
    result = RunResult(
        outputs=[[0.5]], fingerprint={"device": "cpu"}, timings={"run_s": 0.1}, usage={"input_tokens": 4}
    )
    licence = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
    assert services.job_succeed(job=job, result=result, licence=licence)


def test_api_job_is_accepted_and_found_at_its_location(post, with_key, buyer, sold):
    accepted = post()
    assert accepted.status_code == 202
    body = with_key(buyer).get(accepted.headers["Location"]).json()
    expected = {"state": "queued", "model": str(sold.model_id), "licence": str(sold.licence_id), "call": "reserved"}
    assert {name: body[name] for name in expected} == expected
    assert (body["outputs"], body["error"]) == (None, None)


def test_api_job_that_succeeded_shows_its_outputs_to_its_owner_alone(post, with_key, buyer, outsider):
    url = post().headers["Location"]
    finish(url.rsplit("/", 1)[1])
    body = with_key(buyer).get(url).json()
    assert (body["state"], body["outputs"], body["call"]) == ("succeeded", [[0.5]], "settled")
    for response in (with_key(outsider).get(url), with_key(outsider).post(f"{url}/cancel")):
        assert (response.status_code, response.json()["code"]) == (404, "job.not_found")
    assert with_key(outsider).delete(f"{url}/payload").status_code == 404
    assert with_key(outsider).get("/api/v1/jobs").json()["results"] == []


def test_api_job_beyond_the_open_ones_is_told_when_to_come_back(post, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = 1
    first = post(headers={"Idempotency-Key": "one"})
    response = post()
    assert (response.status_code, response.json()["code"]) == (429, "job.too_many_open")
    assert response.json()["retryable"] and int(response.headers["Retry-After"]) > 0
    assert post(headers={"Idempotency-Key": "one"}).json()["id"] == first.json()["id"]


def test_api_job_of_an_account_without_a_licence_is_refused(post, with_key, outsider):
    response = post(client=with_key(outsider))
    assert (response.status_code, response.json()["code"]) == (403, "licence.none")
    assert Job.objects.count() == 0


def test_api_job_under_a_foreign_licence_is_refused(post, with_key, outsider, sold):
    response = post(client=with_key(outsider), licence=str(sold.licence_id))
    assert (response.status_code, response.json()["code"]) == (403, "licence.foreign")


def test_api_job_under_an_expired_licence_is_refused(sell, with_key, buyer):
    sold = sell(period=3600)
    sold.market.anvil.rpc("evm_increaseTime", 3600)
    sold.market.mine()
    body = {"model": str(sold.model_id), "inputs": "the house"}
    response = with_key(buyer).post("/api/v1/jobs", body, format="json")
    assert (response.status_code, response.json()["code"]) == (403, "licence.expired")


def test_api_job_with_a_dead_node_says_when_to_come_back_and_writes_nothing(post, settings):
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    response = post()
    assert (response.status_code, response.json()["code"]) == (503, "chain.node_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["retryable"]
    assert "127.0.0.1" not in response.content.decode()
    assert (Job.objects.count(), JobPayload.objects.count()) == (0, 0)


def test_api_queue_that_is_full_answers_when_to_come_back_in_either_dialect(post, sold, with_key, buyer, settings):
    settings.JOB_MAX_QUEUED = 1
    assert post().status_code == 202
    dialect = with_key(buyer).post("/v1/embeddings", {"model": f"wh-{sold.model_id}", "input": ["a"]}, format="json")
    own = post()
    for response, body in ((own, own.json()), (dialect, dialect.json()["error"])):
        assert (response.status_code, body["code"]) == (429, "job.queue_full")
        assert int(response.headers["Retry-After"]) == QUEUE_FULL_RETRY_S
    assert own.json()["retryable"]
    assert Job.objects.count() == 1


def test_api_job_sent_again_with_its_key_is_the_same_job(post):
    first, again = post(headers={"Idempotency-Key": "k-1"}), post(headers={"Idempotency-Key": "k-1"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotent-Replay"] == "true"
    changed = post(headers={"Idempotency-Key": "k-1"}, inputs=["other"])
    assert (changed.status_code, changed.json()["code"]) == (422, "job.idempotency_conflict")
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "x"}, 400, "request.invalid"),
        ({"model": None}, 400, "request.invalid"),
        ({"inputs": 5}, 422, "input.invalid"),
        ({"inputs": []}, 422, "input.invalid"),
        ({"inputs": "a\0b"}, 422, "input.invalid"),
        ({"parameters": {"nope": 1}}, 422, "input.invalid"),
        ({"parameters": "x"}, 422, "input.invalid"),
        ({"licence": "-1"}, 400, "request.invalid"),
        ({"release": "0x12"}, 400, "request.invalid"),
        ({"release": "0x" + "12" * 32}, 404, "release.not_found"),
        ({"model": "999"}, 404, "model.not_found"),
    ],
)
def test_api_job_that_is_malformed_is_refused_in_words(post, changes, status, code):
    response = post(**changes)
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert len(response.json()["detail"]) > 10
    assert Job.objects.count() == 0


def test_api_job_cancelled_gives_its_call_back(post, with_key, buyer):
    url = post().headers["Location"]
    body = with_key(buyer).post(f"{url}/cancel").json()
    assert (body["state"], body["call"], body["error"]["code"]) == ("cancelled", "released", "job.cancelled")


def test_api_job_payload_deleted_is_gone_and_the_job_stays(post, with_key, buyer):
    url = post().headers["Location"]
    client = with_key(buyer)
    assert client.delete(f"{url}/payload").json()["code"] == "job.not_finished"
    finish(url.rsplit("/", 1)[1])
    assert client.delete(f"{url}/payload").status_code == 204
    assert client.delete(f"{url}/payload").status_code == 204
    body = client.get(url).json()
    assert (body["state"], body["outputs"], body["payload_until"]) == ("succeeded", None, None)


def test_api_jobs_are_paged_newest_first_without_a_gap(post, with_key, buyer):
    made = [post().json()["id"] for _ in range(5)]
    client, url, seen = with_key(buyer), "/api/v1/jobs?limit=2", []
    while url:
        response = client.get(url)
        seen += [job["id"] for job in response.json()["results"]]
        found = re.search(r'<([^>]+)>; rel="next"', response.headers.get("Link", ""))
        assert (found.group(1) if found else None) == response.json()["next"]
        url = response.json()["next"]
    assert seen == made[::-1]


@pytest.mark.parametrize("position", ["garbage", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00", "\x00", "0"])
def test_api_jobs_with_a_forged_cursor_are_refused(with_key, buyer, post, position):
    post()
    cursor = base64.b64encode(urlencode({"p": position}).encode()).decode()
    response = with_key(buyer).get("/api/v1/jobs", {"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid")


@pytest.mark.parametrize("depth", [65, 254, 800])
@pytest.mark.parametrize("field", ["inputs", "parameters"])
def test_api_job_that_is_nested_too_deep_is_refused(post, field, depth):
    nested = json.loads("[" * depth + "]" * depth)
    response = post(**{field: nested})
    assert (response.status_code, response.json()["code"]) == (400, "request.malformed")


def test_api_jobs_with_a_broken_cursor_are_refused(with_key, buyer):
    response = with_key(buyer).get("/api/v1/jobs?cursor=%00garbage")
    assert (response.status_code, response.json()["code"]) == (400, "cursor.invalid")


def test_api_jobs_too_many_are_throttled(post):
    for _ in range(240):
        response = post(model="999")
        assert response.status_code == 404
    response = post()
    assert (response.status_code, response.json()["code"]) == (429, "request.throttled")
    assert int(response.headers["Retry-After"]) > 0


def test_api_job_whose_entry_cannot_be_written_leaves_nothing(post, monkeypatch):
    def fail(**_):
        raise OperationalError("disk full")

    monkeypatch.setattr(ledger, "call_enter", fail)
    response = post()
    assert (response.status_code, response.json()["code"]) == (503, "site.busy")
    assert (Job.objects.count(), JobPayload.objects.count()) == (0, 0)
    assert ledger.LicenceUse.objects.filter(reserved__gt=0).count() == 0
