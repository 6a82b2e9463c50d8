"""The life of a job, without a worker process: every move is conditional, and the ledger goes along."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError, connection
from django.utils import timezone

from chain import selectors as chain
from chain.gateway.errors import NodeUnavailable
from marketplace.inference import execution, payloads, selectors, services
from marketplace.inference.errors import (
    IdempotencyConflictError,
    IdempotencyKeyInvalidError,
    JobCancelLimitError,
    JobNotFinishedError,
    JobNotOpenError,
    JobNotReservedError,
    JobTooManyOpenError,
)
from marketplace.inference.models import CallEntry, Job, JobPayload, LicenceUse
from marketplace.licences.errors import CallsExhaustedError
from models_registry.errors import ModelNotFoundError, ReleaseNotFoundError
from models_registry.models import Release, ReleaseState
from models_registry.runtime.errors import InputError, RunnerBusyError, RunnerCrashedError, SandboxUnavailable
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db
RESULT = RunResult(
    outputs=[[0.5, 1.0]], fingerprint={"device": "cpu"}, timings={"run_s": 0.1}, usage={"input_tokens": 4}
)


@pytest.fixture
def sold(sell):
    return sell(calls=10)


@pytest.fixture
def create(sold, buyer):
    def make(**extra) -> Job:
        values = {"account": buyer, "model_id": sold.model_id, "inputs": "the house", **extra}
        return services.job_create(**values)[0]

    return make


def claim(job: Job) -> Job:
    claimed = services.job_claim(job_id=job.pk)
    assert claimed is not None
    return claimed


def licence_of(job: Job):
    return chain.licence_states([job.licence_id])[job.licence_id]


def use() -> tuple[int, int]:
    row = LicenceUse.objects.get()
    return row.used, row.reserved


def state_of(job: Job) -> str:
    return Job.objects.get(pk=job.pk).state


def test_job_created_is_queued_with_its_call_reserved(create, sold):
    job = create()
    assert (job.state, job.licence_id, job.release_digest) == ("queued", sold.licence_id, sold.release.digest)
    assert (job.checked_block_number > 0, use()) == (True, (0, 1))
    assert CallEntry.objects.get(job=job).limit == 10


def test_job_payload_is_encrypted_and_nowhere_else(create):
    job = create(inputs="scale house model")
    stored = bytes(JobPayload.objects.get().request)
    assert b"scale" not in stored
    assert "scale" not in str(Job.objects.values_list().get())
    assert selectors.job_request(job)["inputs"] == ["scale house model"]


def test_job_payload_of_another_job_is_not_readable(create):
    one, two = create(), create()
    token = JobPayload.objects.get(job=one).request
    JobPayload.objects.filter(job=two).update(request=token)
    assert selectors.job_request(two) is None
    assert selectors.job_request(one) is not None


def test_job_payload_outlives_a_change_of_key_that_keeps_the_old_one(create, settings):
    job = create()
    old = settings.PAYLOAD_KEY
    settings.PAYLOAD_KEY = f"{Fernet.generate_key().decode()},{old}"
    assert selectors.job_request(job)["inputs"] == ["the house"]
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    assert selectors.job_request(job) is None


def test_job_claimed_once_is_not_claimed_again(create):
    job = create()
    assert claim(job).attempts == 1
    assert services.job_claim(job_id=job.pk) is None


def test_job_succeeded_is_stored_and_counted_once(create):
    job = claim(create())
    assert services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    assert not services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    job = Job.objects.get()
    assert (job.state, use(), job.fingerprint) == ("succeeded", (1, 0), {"device": "cpu"})
    assert selectors.job_outputs(job).outputs == [[0.5, 1.0]]
    assert b"0.5" not in bytes(JobPayload.objects.get().outputs)


def test_job_failed_gives_its_call_back(create):
    job = claim(create())
    assert services.job_fail(job=job, error=InputError("The input is blank.", position=0))
    job.refresh_from_db()
    assert (job.state, use()) == ("failed", (0, 0))
    assert job.error == {"code": "input.invalid", "message": "The input is blank.", "retryable": False, "position": 0}


def test_job_cancelled_while_it_runs_throws_the_result_away(create, buyer):
    job = claim(create())
    services.job_cancel(account=buyer, job_id=job.pk)
    assert not services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    assert (state_of(job), use(), JobPayload.objects.get().outputs) == ("cancelled", (0, 0), None)


def test_job_that_runs_cannot_be_cancelled_without_end(create, buyer, settings):
    settings.JOB_MAX_CANCELLED_RUNNING = 1
    services.job_cancel(account=buyer, job_id=claim(create()).pk)
    second = claim(create())
    with pytest.raises(JobCancelLimitError):
        services.job_cancel(account=buyer, job_id=second.pk)
    assert (state_of(second), use()) == ("running", (0, 1))
    assert services.job_cancel(account=buyer, job_id=create().pk).state == "cancelled", "a waiting job always can"
    Job.objects.filter(state="cancelled").update(finished_at=timezone.now() - services.CANCEL_WINDOW)
    assert services.job_cancel(account=buyer, job_id=second.pk).state == "cancelled"


def test_job_cancelled_twice_is_cancelled_once(create, buyer):
    job = create()
    services.job_cancel(account=buyer, job_id=job.pk)
    assert services.job_cancel(account=buyer, job_id=job.pk).state == "cancelled"
    assert use() == (0, 0)


def test_job_that_succeeded_cannot_be_cancelled(create, buyer):
    job = claim(create())
    services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    with pytest.raises(JobNotOpenError):
        services.job_cancel(account=buyer, job_id=job.pk)
    assert use() == (1, 0)


def test_job_without_a_reservation_hands_out_no_result(create):
    job = claim(create())
    CallEntry.objects.update(state="released")
    with pytest.raises(JobNotReservedError):
        services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    assert (state_of(job), JobPayload.objects.get().outputs) == ("running", None)


def test_job_of_a_lost_worker_is_queued_again_and_the_old_attempt_stores_nothing(create):
    lost = claim(create())
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    services.jobs_sweep()
    assert state_of(lost) == "queued"
    again = claim(lost)
    assert not services.job_succeed(job=lost, result=RESULT, licence=licence_of(lost))
    assert not services.job_lease_renew(job=lost)
    assert services.job_succeed(job=again, result=RESULT, licence=licence_of(again))
    assert (Job.objects.get().attempts, use()) == (2, (1, 0))


def test_job_whose_lease_a_clock_that_was_ahead_renewed_is_not_held_for_as_long(create, clock):
    job = claim(create())
    clock.ahead_s = 3600
    assert services.job_lease_renew(job=job)
    services.jobs_sweep()
    assert state_of(job) == "running"
    clock.ahead_s = 0
    services.jobs_sweep()
    assert state_of(job) == "queued"


def test_job_whose_workers_keep_dying_fails_with_the_reason(create, settings):
    job = create()
    for _ in range(settings.JOB_MAX_ATTEMPTS):
        claim(job)
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        services.jobs_sweep()
    job.refresh_from_db()
    assert (job.state, job.error["code"], use()) == ("failed", "job.worker_lost", (0, 0))


def test_job_with_a_live_lease_is_left_alone_by_the_sweep(create):
    job = claim(create())
    assert services.job_lease_renew(job=job)
    services.jobs_sweep()
    assert state_of(job) == "running"


def test_job_that_nobody_started_expires_and_gives_its_call_back(create):
    job = create()
    Job.objects.update(start_before=timezone.now())
    assert services.job_claim(job_id=job.pk) is None
    services.jobs_sweep()
    job.refresh_from_db()
    assert (job.state, job.error["code"], use()) == ("expired", "job.expired", (0, 0))


def test_job_retried_waits_and_keeps_its_reservation(create):
    job = claim(create())
    error = RunnerCrashedError("The runner ended.")
    assert services.job_retry(job=job, error=error, counts=True)
    assert services.job_claim(job_id=job.pk) is None
    Job.objects.update(run_after=timezone.now())
    assert claim(job).attempts == 2
    assert use() == (0, 1)


@pytest.mark.parametrize("attempts", [1, 10])
@pytest.mark.parametrize("kind", [RunnerBusyError, SandboxUnavailable])
def test_job_that_meets_trouble_of_the_machine_loses_no_attempt_and_waits_until_it_expires(create, kind, attempts):
    job = create()
    for _ in range(attempts):
        execution._attempt_failed(claim(job), kind("Other runs took all the time. Try again."))
        job.refresh_from_db()
        assert (job.state, job.attempts, job.error["code"], use()) == ("queued", 0, kind.code, (0, 1))
        Job.objects.update(run_after=None)
    Job.objects.update(start_before=timezone.now())
    services.jobs_sweep()
    job.refresh_from_db()
    assert (job.state, use()) == ("expired", (0, 0))
    # What is wrong with a machine is said to its operator.
    assert ("Other runs took all the time" in job.error["message"]) is (kind is RunnerBusyError)


def test_job_beyond_the_open_ones_of_a_licence_writes_nothing_until_one_has_ended(create, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = 2
    first, _ = create(), create()
    with pytest.raises(JobTooManyOpenError) as caught:
        create()
    assert caught.value.retryable and caught.value.data["limit"] == 2
    assert (Job.objects.count(), JobPayload.objects.count(), use()) == (2, 2, (0, 2))
    services.job_fail(job=claim(first), error=InputError("The input is blank."))
    assert create().state == "queued"


def test_job_beyond_the_open_ones_goes_to_another_licence(create, sold, buyer, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = 1
    sold.market.buy(sold.plan_id, by=buyer.address)
    sold.market.index()
    assert create().licence_id != create().licence_id
    with pytest.raises(JobTooManyOpenError):
        create()


def test_job_beyond_the_open_ones_of_an_account_writes_nothing(create, sold, buyer, settings):
    settings.JOB_MAX_OPEN_PER_ACCOUNT = 1
    sold.market.buy(sold.plan_id, by=buyer.address)
    sold.market.index()
    create()
    with pytest.raises(JobTooManyOpenError):
        create()
    assert (Job.objects.count(), use()) == (1, (0, 1))


def test_job_without_a_call_left_is_refused_as_exhausted_though_too_many_are_open(sell, buyer, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = 1
    sold = sell(calls=1)
    services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")


def test_job_retried_because_the_node_was_dead_has_lost_no_attempt(create):
    job = claim(create())
    services.job_retry(job=job, error=NodeUnavailable("No node answered."), counts=False)
    assert Job.objects.get().attempts == 0


def test_job_with_the_same_idempotency_key_is_the_same_job(create, buyer, sold):
    first = create(idempotency_key="k1")
    again, is_new = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house", idempotency_key="k1")
    assert (again.pk, is_new, use()) == (first.pk, False, (0, 1))


def test_job_with_the_same_idempotency_key_and_another_request_is_refused(create):
    create(idempotency_key="k1")
    with pytest.raises(IdempotencyConflictError):
        create(idempotency_key="k1", inputs="another")
    assert Job.objects.count() == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\n"])
def test_job_with_a_malformed_idempotency_key_is_refused(create, key):
    with pytest.raises(IdempotencyKeyInvalidError):
        create(idempotency_key=key)


def test_job_keys_of_two_accounts_do_not_meet(sold, buyer, outsider, create):
    sold.market.buy(sold.plan_id, by=outsider.address)
    sold.market.index()
    assert create(idempotency_key="k").pk != create(idempotency_key="k", account=outsider).pk


def test_job_of_a_model_that_does_not_exist_is_refused(buyer, sold):
    with pytest.raises(ModelNotFoundError):
        services.job_create(account=buyer, model_id=999, inputs="a")


def test_job_pinned_to_a_release_of_another_model_is_refused(create):
    with pytest.raises(ReleaseNotFoundError):
        create(release_digest="0x" + "12" * 32)


def test_job_pinned_to_the_older_of_two_releases_is_of_that_one(create, sold, publisher):
    older, newer = sold.release.digest, "0x" + "2e" * 32
    values = {"publisher": publisher.address, "name": "A model", "task": "feature-extraction", "licence": "MIT"}
    Release.objects.create(digest=newer, state=ReleaseState.READY, **values)
    sold.market.release(sold.model_id, newer)
    sold.market.index()
    pins = (None, older, newer, "0x" + older[2:].upper())
    assert [create(release_digest=pin).release_digest for pin in pins] == [newer, older, newer, older]
    assert sorted(Job.objects.values_list("release_digest", flat=True)) == sorted([newer, older] * 2)


def test_job_with_bad_inputs_writes_nothing(create):
    with pytest.raises(InputError):
        create(inputs={"not": "a text"})
    with pytest.raises(InputError):
        create(parameters={"unknown": 1})
    assert (Job.objects.count(), LicenceUse.objects.count()) == (0, 0)


def test_job_with_a_dead_node_writes_nothing(create, settings):
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    with pytest.raises(NodeUnavailable):
        create()
    assert (Job.objects.count(), JobPayload.objects.count(), LicenceUse.objects.count()) == (0, 0, 0)


def test_job_payload_is_deleted_when_its_time_is_over_and_the_job_stays(create):
    job = claim(create())
    services.job_succeed(job=job, result=RESULT, licence=licence_of(job))
    JobPayload.objects.update(delete_at=timezone.now())
    assert services.payloads_purge() == 1
    job.refresh_from_db()
    assert (job.state, selectors.job_outputs(job), use()) == ("succeeded", None, (1, 0))


def test_job_payload_of_an_open_job_is_kept(create, buyer):
    job = create()
    JobPayload.objects.update(delete_at=timezone.now())
    assert services.payloads_purge() == 0
    with pytest.raises(JobNotFinishedError):
        services.job_payload_delete(account=buyer, job_id=job.pk)


def test_job_sent_again_after_a_new_payload_key_is_the_same_job(create, settings):
    job = create(idempotency_key="k")
    settings.PAYLOAD_KEY = f"{Fernet.generate_key().decode()},{settings.PAYLOAD_KEY}"
    assert create(idempotency_key="k") == job
    with pytest.raises(IdempotencyConflictError):
        create(idempotency_key="k", inputs="another request")


def test_job_request_mac_depends_on_the_key(settings):
    one = payloads.request_mac({"inputs": "yes"})
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    assert payloads.request_mac({"inputs": "yes"}) != one


@pytest.mark.django_db(transaction=True)
def test_job_requested_at_the_same_time_under_one_key_is_one_job(sold, buyer, clean_broker):
    def request(_: int) -> tuple[str, bool]:
        try:
            job, is_new = services.job_create(
                account=buyer, model_id=sold.model_id, inputs="the house", idempotency_key="one"
            )
            return str(job.pk), is_new
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(request, range(4)))
    assert len({job_id for job_id, _ in results}) == 1
    assert sorted(is_new for _, is_new in results) == [False, False, False, True]
    assert use() == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_job_whose_result_the_database_would_not_take_is_tried_again(create, monkeypatch):
    job = create()

    def deadlock(**_):
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(execution, "_licence_check", lambda job: None)
    monkeypatch.setattr(execution, "_result", lambda job, cancelled: None)
    monkeypatch.setattr(services, "job_succeed", deadlock)
    assert not execution.job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("queued", 1)
    assert CallEntry.objects.get(job=job).state == "reserved"
