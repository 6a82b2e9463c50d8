"""What a batch is to the terms of a licence and of a key: its calls, rate, caps, queue, receipts."""

from io import BytesIO

import pytest
from rest_framework.test import APIClient

from marketplace.accounts.models import ApiKey
from marketplace.accounts.services import api_key_create
from marketplace.inference import batches, services
from marketplace.inference.errors import JobQueueFullError, LicenceRateError
from marketplace.inference.models import Batch, CallEntry, Job, LicenceUse, Receipt
from marketplace.inference.receipts import selectors as receipts
from models_registry.runtime.errors import InputError
from models_registry.runtime.specs import RunResult
from tests.inference.receipt_steps import message_of

pytestmark = pytest.mark.django_db
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
URL = "/api/v1/batches"


@pytest.fixture
def sold(sell, clean_broker):
    return sell(calls=300)


@pytest.fixture
def create(sold, buyer):
    return lambda inputs=("a",) * 65, **extra: services.batch_create(
        account=buyer, model_id=sold.model_id, inputs=list(inputs), **extra
    )[0]


@pytest.fixture
def program(sold, buyer):
    """`program(**terms)`: a client with a key of the buyer's, and the key's row."""

    def make(**terms) -> tuple[APIClient, ApiKey]:
        key, secret = api_key_create(account=buyer, name="a program", scopes=["run"], **terms)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client, key

    return make


def finish(job: Job) -> None:
    result = RunResult(outputs=[[0.5]] * job.input_count, fingerprint={}, timings={}, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)


def fail(job: Job) -> None:
    services.job_fail(job=services.job_claim(job_id=job.pk), error=InputError("Input 1 is blank.", position=0))


def jobs_of(batch: Batch) -> list[Job]:
    return list(Job.objects.filter(batch=batch).order_by("batch_position"))


def body(sold, inputs=("a",), **more) -> dict[str, object]:
    return {"model": str(sold.model_id), "inputs": list(inputs), **more}


def code(response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def test_batch_costs_a_call_for_each_input_and_gives_back_those_of_what_failed(create):
    batch = create()
    first, second = jobs_of(batch)
    assert [entry.calls for entry in CallEntry.objects.order_by("job__batch_position")] == [64, 1]
    finish(first)
    fail(second)
    assert batches.batch_progress(batch).calls == {"reserved": 0, "settled": 64, "released": 1}
    row = LicenceUse.objects.get()
    assert (row.used, row.reserved) == (64, 0)


def test_batch_is_one_open_job_of_its_licence_until_its_last_job_ends(create):
    batch = create(["a"] * 129)
    seen = [LicenceUse.objects.get().open_jobs]
    for end, job in zip((finish, fail, finish), jobs_of(batch), strict=True):
        end(job)
        seen.append(LicenceUse.objects.get().open_jobs)
    assert seen == [1, 1, 1, 0]


def test_batch_that_is_cancelled_gives_its_place_back_once(create, buyer):
    services.batch_cancel(account=buyer, batch_id=create().pk)
    create()
    assert LicenceUse.objects.get().open_jobs == 1


def test_batch_takes_its_calls_out_of_the_rate_and_those_that_follow_wait_for_it(create, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S = 60, 3600
    create()
    with pytest.raises(LicenceRateError) as refused:
        create(["a"])
    # 65 calls of a bucket of 60, and one more: six calls' worth of waiting.
    assert 300 < refused.value.data["retry_after"] <= 360
    assert Batch.objects.count() == 1


def test_batch_tells_the_rate_in_headers_and_is_refused_by_it_with_when_to_come_back(program, sold, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S = 3, 3600
    client, _ = program()
    accepted = client.post(URL, body(sold, "ab"), format="json")
    assert (accepted.status_code, accepted.headers["RateLimit-Policy"]) == (202, '"licence";q=3;w=3600')
    assert accepted.headers["RateLimit"].startswith('"licence";r=1;t=')
    refused = client.post(URL, body(sold, "ab"), format="json")
    assert code(refused) == (429, "licence.rate_exceeded")
    assert int(refused.headers["Retry-After"]) > 0


def test_batch_whose_jobs_do_not_all_find_room_in_the_queue_is_refused_whole(create, settings):
    settings.JOB_MAX_QUEUED = 2
    with pytest.raises(JobQueueFullError):
        create(["a"] * 129)
    assert (Batch.objects.count(), LicenceUse.objects.filter(reserved__gt=0).exists()) == (0, False)
    assert create(["a"] * 128).job_count == 2


def test_batch_is_no_trial(program, sold, outsider, settings):
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = settings.TRIAL_CALLS_PER_ACCOUNT_PER_DAY = 20
    client, _ = program()
    assert code(client.post(URL, body(sold, trial=True), format="json")) == (400, "request.invalid")
    stranger = APIClient()
    stranger.force_authenticate(outsider)
    assert code(stranger.post(URL, body(sold), format="json")) == (403, "licence.none")
    assert Job.objects.count() == 0


def test_batch_of_a_key_with_a_cap_is_counted_whole_and_released_by_its_jobs(program, sold):
    client, key = program(licence_id=sold.licence_id, calls_cap=66, calls_cap_per="total")
    made = client.post(URL, body(sold, "a" * 65), format="json")
    assert made.status_code == 202, made.content
    assert code(client.post(URL, body(sold, "ab"), format="json")) == (403, "key.calls_exhausted")
    first, second = jobs_of(Batch.objects.get())
    assert first.api_key_id == key.pk
    finish(first)
    fail(second)
    key.refresh_from_db()
    assert (key.calls_used, key.calls_reserved, key.calls_left) == (64, 0, 2)


def test_batch_and_uploads_of_another_key_are_not_seen_by_a_key_of_one_licence(program, sold, buyer):
    (owner, _), (bound, _) = program(), program(licence_id=sold.licence_id)
    url = owner.post(URL, body(sold), format="json", headers={"Idempotency-Key": "guess"}).headers["Location"]
    upload = services.input_upload_receive(account=buyer, media_type="text/plain", size=1, stream=BytesIO(b"x"))
    for call in (bound.get(url), bound.get(f"{url}/results"), bound.post(f"{url}/cancel")):
        assert code(call) == (404, "batch.not_found")
    guessed = bound.post(URL, body(sold), format="json", headers={"Idempotency-Key": "guess"})
    assert code(guessed) == (422, "job.idempotency_conflict")
    named = bound.post(URL, body(sold, [{"upload": str(upload.pk)}]), format="json")
    assert code(named) == (404, "input_upload.not_found")
    assert [bound.get(path).json()["results"] for path in (URL, "/api/v1/inputs")] == [[], []]
    mine = bound.post("/api/v1/inputs", b"text", content_type="text/plain").json()["id"]
    made = bound.post(URL, body(sold, [{"upload": mine}]), format="json")
    assert made.status_code == 202, made.content
    assert (bound.get(made.headers["Location"]).status_code, owner.get(url).status_code) == (200, 200)


def test_each_job_of_a_batch_has_a_receipt_that_says_its_calls(create, worker_key):
    jobs = jobs_of(create())
    for job in jobs:
        finish(job)
    assert [message_of(job)["calls"] for job in jobs] == ["64", "1"]


def test_receipt_of_what_stores_nothing_loses_its_salts_with_what_they_open(create, worker_key, buyer):
    batch = create(["a"], store=False)
    (job,) = jobs_of(batch)
    assert Receipt.objects.get().input_salt
    finish(job)
    row = Receipt.objects.get()
    assert (row.input_salt, bool(row.output_salt)) == (None, True)
    assert receipts.receipt_opening(job)["output"]["value"] is None, "it is handed out once, and not here"
    services.batch_hand_out(batch, after=0, limit=10)
    row = Receipt.objects.get()
    assert (row.input_salt, row.output_salt, bool(row.output_hash)) == (None, None, True)
    assert services.receipt_issue(job_id=job.pk)


def test_batches_leave_a_part_of_the_queue_to_single_jobs(create, sold, buyer, settings):
    settings.JOB_MAX_QUEUED = 5
    with pytest.raises(JobQueueFullError):
        create(["a"] * 257)
    assert create(["a"] * 193).job_count == 4
    with pytest.raises(JobQueueFullError):
        create(["a"] * 65)
    assert services.job_create(account=buyer, model_id=sold.model_id, inputs="a")[1]
