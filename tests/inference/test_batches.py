"""Batches: whole or absent, divided, counted, cancelled, and read in the order of the inputs."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from marketplace.inference import batches, services
from marketplace.inference.errors import (
    BatchInvalidError,
    BatchNotFoundError,
    BatchNotOpenError,
    BatchTooManyOpenError,
    IdempotencyConflictError,
    JobTooManyOpenError,
)
from marketplace.inference.models import Batch, CallEntry, Job, JobPayload, LicenceUse
from marketplace.licences.errors import CallsExhaustedError
from marketplace.webhooks import services as webhooks
from marketplace.webhooks.models import WebhookEvent
from models_registry.runtime.errors import InputError
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
TEXTS = [f"text number {number}" for number in range(130)]


@pytest.fixture
def sold(sell):
    return sell(calls=640)


@pytest.fixture
def create(sold, buyer, clean_broker):
    def make(inputs=TEXTS, **extra) -> Batch:
        values = {"account": buyer, "model_id": sold.model_id, "inputs": inputs, **extra}
        return services.batch_create(**values)[0]

    return make


def finish(job: Job) -> None:
    """What a worker does: its outputs are the numbers of the inputs in the batch."""
    claimed = services.job_claim(job_id=job.pk)
    outputs = [[float(job.batch_position + place)] for place in range(job.input_count)]
    result = RunResult(outputs=outputs, fingerprint={}, timings={}, usage={})
    assert services.job_succeed(job=claimed, result=result, licence=CHECKED)


def fail(job: Job) -> None:
    services.job_fail(job=services.job_claim(job_id=job.pk), error=InputError("Input 1 is blank.", position=0))


def jobs_of(batch: Batch) -> list[Job]:
    return list(Job.objects.filter(batch=batch).order_by("batch_position"))


def use() -> tuple[int, int]:
    row = LicenceUse.objects.get()
    return row.used, row.reserved


def nothing_is_written() -> bool:
    counts = (Batch.objects.count(), Job.objects.count(), JobPayload.objects.count(), CallEntry.objects.count())
    return counts == (0, 0, 0, 0) and not LicenceUse.objects.filter(reserved__gt=0).exists()


def test_batch_is_divided_into_jobs_of_as_many_inputs_as_the_task_takes(create):
    batch = create()
    assert [(job.batch_position, job.input_count, job.state) for job in jobs_of(batch)] == [
        (0, 64, "queued"),
        (64, 64, "queued"),
        (128, 2, "queued"),
    ]
    assert (batch.input_count, batch.job_count, batch.open_jobs, use()) == (130, 3, 3, (0, 130))


def test_batch_results_come_in_the_order_of_the_inputs_whatever_the_order_of_the_jobs(create):
    batch = create()
    for job in reversed(jobs_of(batch)):
        finish(job)
    seen = []
    for after in range(0, 130, 50):
        seen += services.batch_hand_out(batch, after=after, limit=50)
    assert [entry["index"] for entry in seen] == list(range(130))
    assert [entry["output"] for entry in seen] == [[float(number)] for number in range(130)]


def test_batch_that_is_open_gives_what_there_is_and_names_what_failed(create):
    batch = create()
    _, second, third = jobs_of(batch)
    finish(second)
    fail(third)
    progress = batches.batch_progress(batch)
    assert (progress.inputs["succeeded"], progress.inputs["failed"], progress.inputs["queued"]) == (64, 2, 64)
    assert progress.ended_inputs == 66
    page = services.batch_hand_out(batch, after=60, limit=70)
    assert [entry["state"] for entry in page] == ["queued"] * 4 + ["succeeded"] * 64 + ["failed"] * 2
    assert page[-1]["error"]["code"] == "input.invalid"


def test_batch_ends_with_its_last_job_and_counts_only_what_succeeded(create, buyer, there):
    batch = create()
    first, second, third = jobs_of(batch)
    finish(first)
    fail(second)
    batch.refresh_from_db()
    assert (batch.state, batch.open_jobs, use()) == ("open", 1, (64, 2))
    finish(third)
    batch.refresh_from_db()
    assert (batch.state, batch.open_jobs, use()) == ("ended", 0, (66, 0))
    assert WebhookEvent.objects.filter(kind="batch.ended", subject=str(batch.pk)).count() == 1


@pytest.fixture
def there(buyer):
    """An endpoint that wants every event; nobody sends them here."""
    return webhooks.endpoint_create(account=buyer, url="https://hook.example/")[0]


def test_batch_with_one_bad_input_is_refused_with_its_number_and_writes_nothing(create):
    with pytest.raises(InputError) as caught:
        create([*TEXTS[:100], " ", "more"])
    assert caught.value.data["position"] == 100
    assert caught.value.message.startswith("Input 101 is blank")
    assert nothing_is_written()


@pytest.mark.parametrize("inputs", ["a text", [], {"a": 1}, ["x"] * 1001, None])
def test_batch_of_no_list_or_too_long_a_one_is_refused(create, inputs):
    with pytest.raises(BatchInvalidError):
        create(inputs)
    assert nothing_is_written()


def test_batch_may_use_every_call_that_is_left(create):
    batch = create(["x"] * 640)
    assert (batch.job_count, use()) == (10, (0, 640))


def test_batch_of_a_thousand_inputs_under_an_unmetered_licence_is_accepted(sell, buyer, clean_broker):
    sold = sell()
    batch, _ = services.batch_create(account=buyer, model_id=sold.model_id, inputs=["x"] * 1000)
    assert (batch.job_count, sum(job.input_count for job in jobs_of(batch))) == (16, 1000)


def test_batch_that_needs_more_calls_than_are_left_reserves_none(create):
    with pytest.raises(CallsExhaustedError):
        create(["x"] * 641)
    assert nothing_is_written()


def test_batch_goes_to_the_licence_that_has_calls_for_all_of_it(create, sold, buyer):
    first = create(["x"] * 200)
    sold.market.buy(sold.plan_id, by=buyer.address)
    sold.market.index()
    second = create(["x"] * 640)
    assert second.licence_id != first.licence_id
    assert {job.licence_id for job in jobs_of(second)} == {second.licence_id}


def test_batch_is_one_open_job_to_the_caps(create, sold, buyer, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = 2
    create()
    services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    with pytest.raises(JobTooManyOpenError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    with pytest.raises(JobTooManyOpenError):
        create()
    assert (Batch.objects.count(), use()) == (1, (0, 131))


def test_batches_beyond_the_open_ones_of_an_account_are_refused(create, settings):
    settings.BATCH_MAX_OPEN_PER_ACCOUNT = 1
    batch = create(["x"])
    with pytest.raises(BatchTooManyOpenError):
        create(["x"])
    finish(jobs_of(batch)[0])
    assert create(["x"]).state == "open"


def test_batch_with_the_same_idempotency_key_is_the_same_and_another_request_is_refused(create, buyer, sold):
    first = create(idempotency_key="k")
    again, is_new = services.batch_create(account=buyer, model_id=sold.model_id, inputs=TEXTS, idempotency_key="k")
    assert (again.pk, is_new, use()) == (first.pk, False, (0, 130))
    with pytest.raises(IdempotencyConflictError):
        create(["another"], idempotency_key="k")
    assert Batch.objects.count() == 1


def test_batch_cancelled_gives_back_what_did_not_run(create, buyer, there):
    batch = create()
    first, second, _ = jobs_of(batch)
    finish(first)
    services.job_claim(job_id=second.pk)
    batch = services.batch_cancel(account=buyer, batch_id=batch.pk)
    assert ([job.state for job in jobs_of(batch)], use()) == (["succeeded", "cancelled", "cancelled"], (64, 0))
    assert batch.state == "ended"
    assert services.batch_cancel(account=buyer, batch_id=batch.pk).state == "ended"
    assert sorted(WebhookEvent.objects.values_list("kind", flat=True)) == [
        "batch.ended",
        "job.cancelled",
        "job.cancelled",
        "job.succeeded",
    ]


def test_batch_cancelled_lets_run_what_the_account_may_not_cancel(create, buyer, settings):
    settings.JOB_MAX_CANCELLED_RUNNING = 0
    batch = create()
    services.job_claim(job_id=jobs_of(batch)[0].pk)
    batch = services.batch_cancel(account=buyer, batch_id=batch.pk)
    assert ([job.state for job in jobs_of(batch)], batch.state) == (
        ["running", "cancelled", "cancelled"],
        "cancelling",
    )


def test_batch_job_that_comes_back_into_the_queue_after_the_cancelling_is_cancelled_by_the_sweep(create):
    batch = create()
    Batch.objects.update(cancelled_at=timezone.now())
    services.jobs_sweep()
    batch.refresh_from_db()
    assert ([job.state for job in jobs_of(batch)], batch.state, use()) == (["cancelled"] * 3, "ended", (0, 0))


def test_batch_that_has_ended_cannot_be_cancelled(create, buyer):
    batch = create(["x"])
    finish(jobs_of(batch)[0])
    with pytest.raises(BatchNotOpenError):
        services.batch_cancel(account=buyer, batch_id=batch.pk)


def test_batch_of_somebody_else_is_not_found(create, outsider):
    batch = create(["x"])
    with pytest.raises(BatchNotFoundError):
        batches.batch_get(account=outsider, batch_id=batch.pk)
    with pytest.raises(BatchNotFoundError):
        services.batch_cancel(account=outsider, batch_id=batch.pk)


@pytest.mark.django_db(transaction=True)
def test_batch_whose_last_jobs_end_at_the_same_time_ends_once(create, there):
    batch = create(["x"] * 64 * 8)

    def end(job: Job) -> None:
        try:
            finish(job)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(end, jobs_of(batch)))
    batch.refresh_from_db()
    assert (batch.state, batch.open_jobs, use()) == ("ended", 0, (512, 0))
    assert WebhookEvent.objects.filter(kind="batch.ended").count() == 1


SCRIPT = """
import django; django.setup()
from marketplace.accounts.models import Account
from marketplace.inference import services
services.batch_create(
    account=Account.objects.get(pk={account}), model_id={model}, inputs=["x"] * 130, idempotency_key="k"
)
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("point", "is_there"), [("batch.half_written", False), ("batch.committed", True)])
def test_batch_of_a_process_killed_while_it_writes_is_whole_or_absent(
    sold, buyer, clean_broker, spawn, tmp_path, point, is_there
):
    script = SCRIPT.format(account=buyer.pk, model=sold.model_id)
    env = {"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    process = spawn("batch", [sys.executable, "-c", script], env=env)
    process.wait_until((tmp_path / point).exists, what=f"at {point}", timeout_s=60)
    process.kill()
    if not is_there:
        assert nothing_is_written()
    else:
        batch = Batch.objects.get()
        assert (batch.open_jobs, Job.objects.count(), JobPayload.objects.count(), use()) == (3, 3, 3, (0, 130))
    again, is_new = services.batch_create(
        account=buyer, model_id=sold.model_id, inputs=["x"] * 130, idempotency_key="k"
    )
    assert (is_new, Batch.objects.count(), use()) == (not is_there, 1, (0, 130))
    for job in jobs_of(again):
        finish(job)
    assert use() == (130, 0)


def test_job_of_a_batch_that_its_owner_cancelled_does_not_begin(create):
    batch = create(["a"] * 65)
    Batch.objects.update(cancelled_at=timezone.now())
    assert [services.job_claim(job_id=job.pk) for job in jobs_of(batch)] == [None, None]
    assert services.job_claim_next() is None
    Batch.objects.update(cancelled_at=None)
    assert services.job_claim_next() is not None
