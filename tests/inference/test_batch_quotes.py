"""What a quote says of a batch: what creation then reserves, or refuses; and it leaves nothing behind."""

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from marketplace.accounts.services import api_key_create
from marketplace.inference import ledger
from marketplace.inference.models import Batch, CallEntry, Job, LicenceUse
from marketplace.inference.receipts import issuing

pytestmark = pytest.mark.django_db
NO_UPLOAD = {"upload": "7a1e0000-0000-4000-8000-000000000000"}


@pytest.fixture
def sold(sell, clean_broker):
    return sell(calls=300)


@pytest.fixture
def client(with_key, buyer):
    return with_key(buyer, "run")


@pytest.fixture
def post(client, sold):
    """`post("/quote", inputs=...)`: what the API answers to a program of the buyer's."""

    def send(path="", **changes):
        body = {"model": str(sold.model_id), "inputs": ["a"] * 130, **changes}
        return client.post(f"/api/v1/batches{path}", body, format="json")

    return send


@pytest.fixture
def quote(post):
    def ask(**changes):
        response = post("/quote", **changes)
        assert response.status_code == 200, response.content
        return response.json()

    return ask


def rows() -> dict[str, list[dict[str, object]]]:
    models = [model for app in ("inference", "webhooks") for model in apps.get_app_config(app).get_models()]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def test_quote_of_a_batch_is_what_creation_then_reserves(quote, post, sold):
    said = quote()
    assert said == {
        "accepted": True,
        "error": None,
        "release": sold.release.digest,
        "licence": str(sold.licence_id),
        "calls": 130,
        "jobs": 3,
        "left": 170,
        "key_left": None,
    }
    made = post().json()
    assert [made[name] for name in ("release", "licence", "jobs")] == [
        said[name] for name in ("release", "licence", "jobs")
    ]
    assert made["calls_by_state"]["reserved"] == sum(entry.calls for entry in CallEntry.objects.all()) == said["calls"]
    use = LicenceUse.objects.get()
    left = ledger.calls_left(licence_id=use.licence_id, purchase=use.purchase, calls=ledger.Calls(300))
    assert (use.reserved, left) == (said["calls"], said["left"])


def test_quote_of_a_thousand_inputs_under_an_unmetered_licence_has_no_end_of_calls(sell, quote, clean_broker):
    said = quote(model=str(sell().model_id), inputs=["a"] * 1000)
    assert (said["accepted"], said["calls"], said["jobs"], said["left"]) == (True, 1000, 16, None)


def test_quote_of_a_batch_writes_nothing_and_signs_nothing(quote, post, worker_key, monkeypatch):
    before = rows()
    with monkeypatch.context() as nobody_signs:
        nobody_signs.setattr(issuing, "worker_key_sign", None)
        assert quote()["accepted"]
    assert rows() == before
    post(inputs=["a"] * 200)
    monkeypatch.setattr(issuing, "worker_key_sign", None)
    before = rows()
    assert (quote(inputs=["a"] * 100)["left"], quote(inputs=["a"] * 101)["accepted"]) == (0, False)
    assert rows() == before


def test_quote_of_a_batch_by_a_key_says_what_the_key_has_left(sold, buyer):
    _, secret = api_key_create(
        account=buyer, name="k", scopes=["run"], licence_id=sold.licence_id, calls_cap=66, calls_cap_per="total"
    )
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    body = {"model": str(sold.model_id), "inputs": ["a"] * 65}
    said = [program.post("/api/v1/batches/quote", body, format="json").json() for _ in range(2)]
    assert [(one["accepted"], one["left"], one["key_left"]) for one in said] == [(True, 235, 1)] * 2
    refused = program.post("/api/v1/batches/quote", {**body, "inputs": ["a"] * 67}, format="json").json()
    assert (refused["error"]["code"], refused["calls"], refused["jobs"]) == ("key.calls_exhausted", 67, 2)


@pytest.mark.parametrize(
    ("changes", "limits", "code", "jobs"),
    [
        ({"inputs": ["a"] * 301}, {}, "licence.calls_exhausted", 5),
        ({"licence": "7"}, {}, "licence.none", 3),
        ({"inputs": ["a", " "]}, {}, "input.invalid", None),
        ({"inputs": [NO_UPLOAD]}, {}, "input_upload.not_found", None),
        ({"parameters": {"unknown": 1}}, {}, "input.invalid", None),
        ({"model": "999"}, {}, "model.not_found", None),
        ({"release": "0x" + "12" * 32}, {}, "release.not_found", None),
        ({}, {"JOB_MAX_QUEUED": 2}, "job.queue_full", 3),
        ({}, {"JOB_MAX_OPEN_PER_LICENCE": 0}, "job.too_many_open", 3),
        ({}, {"BATCH_MAX_OPEN_PER_ACCOUNT": 0}, "batch.too_many_open", 3),
    ],
)
def test_quote_of_a_batch_is_refused_as_creation_refuses_it(quote, post, settings, changes, limits, code, jobs):
    for name, value in limits.items():
        setattr(settings, name, value)
    said, problem = quote(**changes), post(**changes).json()
    error = said["error"]
    assert (said["accepted"], error["code"], said["jobs"]) == (False, code, jobs)
    assert (problem["code"], problem["detail"]) == (code, error["message"])
    assert (Batch.objects.count(), Job.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"inputs": ["a"] * 1001}, 422, "batch.invalid"),
        ({"inputs": []}, 422, "batch.invalid"),
        ({"inputs": "a text"}, 400, "request.invalid"),
        ({"trial": True}, 400, "request.invalid"),
    ],
)
def test_quote_of_what_is_no_batch_is_the_error_of_creation(post, changes, status, code):
    said, problem = post("/quote", **changes), post(**changes)
    assert (said.status_code, said.json()["code"]) == (problem.status_code, problem.json()["code"]) == (status, code)


def test_quote_of_a_batch_without_a_node_is_no_answer(post, settings):
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    response = post("/quote")
    assert (response.status_code, response.json()["code"]) == (503, "chain.node_unavailable")


def test_quote_of_a_batch_waits_for_the_rate_as_creation_does(quote, post, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S = 60, 3600
    assert [quote()["accepted"] for _ in range(2)] == [True, True], "a quote takes nothing out of the bucket"
    post()
    assert quote(inputs=["a"])["error"]["code"] == post(inputs=["a"]).json()["code"] == "licence.rate_exceeded"
