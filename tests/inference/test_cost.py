"""What a job costs, what a quote says of it, and how fast a licence's calls may be used."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from marketplace.inference import ledger, rates, services
from marketplace.inference.errors import JobQueueFullError, LicenceRateError
from marketplace.inference.models import AccountTurn, CallEntry, Job, LicenceUse, TrialBudget
from marketplace.inference.services import idempotency
from marketplace.inference.services.moves import account_lock
from marketplace.licences.errors import CallsExhaustedError
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db
RESULT = RunResult(outputs=[[0.5]], fingerprint={}, timings={}, usage={})
WINDOW = rates.Rate(calls=10, window_s=60)


@pytest.fixture
def sold(sell):
    return sell(calls=5)


@pytest.fixture
def create(sold, buyer):
    def make(inputs=("a",), **extra) -> Job:
        return services.job_create(account=buyer, model_id=sold.model_id, inputs=list(inputs), **extra)[0]

    return make


@pytest.fixture
def quote(sold, with_key, buyer):
    client = with_key(buyer, "run")

    def ask(inputs, **extra):
        body = {"model": str(sold.model_id), "inputs": list(inputs), **extra}
        response = client.post("/api/v1/jobs/quote", body, format="json")
        assert response.status_code == 200, response.json()
        return response.json()

    return ask


def use() -> tuple[int, int, int]:
    row = LicenceUse.objects.get()
    return row.used, row.reserved, row.open_jobs


def succeed(job: Job) -> None:
    held = services.job_claim(job_id=job.pk)
    checked = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
    assert services.job_succeed(job=held, result=RESULT, licence=checked)


@pytest.mark.parametrize(
    ("inputs", "parameters", "calls"),
    [(["a"], {}, 1), (["a", "b", "c"], {}, 3), (["a", "b"], {"explain": True}, 4), (["a"], {"explain": False}, 1)],
)
def test_cost_of_a_job_is_a_call_per_input_and_one_more_where_it_is_explained(inputs, parameters, calls):
    assert ledger.job_calls(inputs, parameters) == calls


def test_cost_is_reserved_at_acceptance_and_counted_on_success(create):
    job = create("abc")
    assert (use(), CallEntry.objects.get().calls) == ((0, 3, 1), 3)
    succeed(job)
    assert use() == (3, 0, 0)


def test_cost_of_a_job_that_fails_is_given_back_whole_and_once(create, buyer):
    job = create("abc")
    services.job_cancel(account=buyer, job_id=job.pk)
    ledger.call_release(job=job)
    assert use() == (0, 0, 0)


def test_cost_beyond_the_calls_left_is_refused_with_how_many_are_left(create):
    create("abc")
    with pytest.raises(CallsExhaustedError) as refused:
        create("abc")
    assert (refused.value.data["left"], refused.value.data["wanted"]) == (2, 3)
    assert "2 are left" in refused.value.message
    assert (use(), Job.objects.count()) == ((0, 3, 1), 1)
    create("ab")


def test_cost_is_taken_from_the_licence_that_has_enough(create, sold):
    create("abc")
    second = sold.market.buy(sold.plan_id)
    sold.market.index()
    assert create("abc").licence_id == second


@pytest.mark.django_db(transaction=True)
def test_calls_of_several_inputs_are_reserved_whole_or_not_at_all_under_concurrency():
    def reserve(_: int) -> bool:
        try:
            with transaction.atomic():
                return ledger.call_room(licence_id=7, purchase="0x01", calls=ledger.Calls(10), wanted=3)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(reserve, range(24)))
    assert (results.count(True), use()) == (3, (0, 9, 3))


@pytest.mark.django_db(transaction=True)
def test_calls_settled_and_released_at_the_same_time_are_closed_once(create, buyer, clean_broker):
    job = create("abc")

    def close(number: int) -> None:
        try:
            with transaction.atomic():
                ledger.call_release(job=job) if number % 2 else ledger.call_settle(job=job)
        except ledger.JobNotReservedError:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(close, range(16)))
    assert use() in ((3, 0, 0), (0, 0, 0))
    assert use()[0] == (3 if CallEntry.objects.get().state == "settled" else 0)


@pytest.mark.django_db(transaction=True)
def test_account_is_locked_though_another_writes_what_names_it(buyer):
    """Two that do both at once would otherwise wait for each other on PostgreSQL, and one would lose its result."""
    named, done = threading.Event(), threading.Event()

    def name_it() -> None:
        try:
            with transaction.atomic():
                Job.objects.create(**job_terms(buyer))
                connection.check_constraints()
                named.set()
                done.wait(30)
        finally:
            connection.close()

    has_row_locks = connection.features.has_select_for_update
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(name_it)
        assert named.wait(30)
        if not has_row_locks:
            # Writers take turns there.
            done.set()
        with transaction.atomic():
            account_lock(buyer.pk)
            assert not (has_row_locks and other.done())
        done.set()
        other.result(30)


def job_terms(account):
    return {
        "account": account,
        "licence_id": 7,
        "model_id": 1,
        "release_digest": "0x",
        "task": "feature-extraction",
        "checked_block_number": 1,
        "checked_block_hash": "0x",
        "start_before": timezone.now(),
        "request_mac": "",
    }


def rows() -> list[int]:
    return [model.objects.count() for model in (Job, CallEntry, LicenceUse, TrialBudget, AccountTurn)]


def test_quote_says_what_the_job_will_cost_and_leave_and_changes_nothing(quote, create, sold):
    said = quote("abc")
    assert rows() == [0, 0, 0, 0, 0]
    expected = {
        "accepted": True,
        "error": None,
        "release": sold.release.digest,
        "licence": str(sold.licence_id),
        "trial": False,
        "calls": 3,
        "left": 2,
        "key_left": None,
    }
    assert said == expected
    job = create("abc")
    left = ledger.calls_left(licence_id=job.licence_id, purchase=job.call.purchase, calls=ledger.Calls(5))
    assert (str(job.licence_id), job.call.calls, left) == (said["licence"], said["calls"], said["left"])


def test_quote_of_what_would_be_refused_carries_the_refusal(quote, create):
    create("abc")
    before = LicenceUse.objects.values().get()
    said = quote("abc")
    assert (said["accepted"], said["error"]["code"], said["calls"]) == (False, "licence.calls_exhausted", 3)
    assert quote([""])["error"]["code"] == "input.invalid"
    assert quote("a", model="999")["error"]["code"] == "model.not_found"
    assert LicenceUse.objects.values().get() == before


def test_quote_without_a_node_is_no_answer(sold, with_key, buyer, settings):
    client = with_key(buyer, "run")
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    response = client.post("/api/v1/jobs/quote", {"model": str(sold.model_id), "inputs": ["a"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (503, "chain.node_unavailable")


def take(calls: int) -> float:
    return rates.rate_take(licence_id=7, purchase="0x01", rate=WINDOW, wanted=calls)


def test_rate_lets_through_a_full_bucket_and_then_says_when_there_is_more():
    LicenceUse.objects.create(licence_id=7, purchase="0x01")
    assert [take(4), take(6)] == [0, 0]
    assert 6 * 2 - 1 < take(2) <= 6 * 2
    row = LicenceUse.objects.get()
    assert rates.bucket_state(row, WINDOW)["left"] == 0
    LicenceUse.objects.update(full_at_us=row.full_at_us - 12 * rates.MICRO)
    assert rates.bucket_state(LicenceUse.objects.get(), WINDOW)["left"] == 2
    assert (take(2), take(1) > 0) == (0, True)


def test_rate_of_a_job_larger_than_the_bucket_is_paid_for_by_those_that_follow():
    LicenceUse.objects.create(licence_id=7, purchase="0x01")
    assert take(25) == 0
    assert 91 < take(1) + 5 <= 101


@pytest.mark.parametrize(("batch", "ahead_s", "refused"), [(0, 18_000, False), (0, 30, True), (2000, 0, True)])
def test_rate_forgets_what_was_taken_by_a_clock_that_was_far_ahead_and_nothing_else(clock, batch, ahead_s, refused):
    LicenceUse.objects.create(licence_id=7, purchase="0x01")
    clock.ahead_s = ahead_s
    assert take(batch or 10) == 0
    clock.ahead_s = 0
    row = LicenceUse.objects.get()
    assert (rates.bucket_state(row, WINDOW)["left"] == 10) is not refused
    assert (take(1) > 0) is refused
    assert (take(9) > 0) is refused
    assert take(1) > 0


@pytest.mark.django_db(transaction=True)
def test_rate_is_exact_when_many_processes_take_at_once():
    LicenceUse.objects.create(licence_id=7, purchase="0x01")

    def one(_: int) -> bool:
        try:
            return take(1) == 0
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(30))).count(True) == WINDOW.calls


def test_rate_of_a_licence_is_shared_by_its_keys_and_told_in_headers(sell, with_key, buyer, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S = 2, 3600
    sold = sell()
    body = {"model": str(sold.model_id), "inputs": ["a"]}
    one, two = with_key(buyer), with_key(buyer)
    first = one.post("/api/v1/jobs", body, format="json")
    assert (first.status_code, first.headers["RateLimit-Policy"]) == (202, '"licence";q=2;w=3600')
    assert first.headers["RateLimit"].startswith('"licence";r=1;t=')
    assert two.post("/api/v1/jobs", body, format="json").status_code == 202
    refused = one.post("/api/v1/jobs", body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "licence.rate_exceeded")
    assert 0 < int(refused.headers["Retry-After"]) <= 1800
    assert refused.headers["RateLimit"].startswith('"licence";r=0;t=')
    assert refused.headers["RateLimit-Policy"] == '"licence";q=2;w=3600'
    assert Job.objects.count() == 2
    limits = one.get(f"/api/v1/licences/{sold.licence_id}").json()["limits"]
    assert limits == {"rate_calls": 2, "rate_window_s": 3600, "jobs_at_once": settings.JOB_MAX_OPEN_PER_LICENCE}


def test_rate_that_is_reached_on_one_licence_leaves_the_next(create, sold, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S = 1, 3600
    sold.market.buy(sold.plan_id)
    sold.market.index()
    assert create().licence_id != create().licence_id
    with pytest.raises(LicenceRateError):
        create()


def test_rate_is_given_back_where_the_job_is_refused_for_another_reason(create, settings):
    settings.LICENCE_RATE_CALLS, settings.LICENCE_RATE_WINDOW_S, settings.JOB_MAX_QUEUED = 1, 3600, 0
    with pytest.raises(JobQueueFullError):
        create()
    settings.JOB_MAX_QUEUED = 10
    assert create().state == "queued"


def test_queue_that_is_full_answers_when_to_come_back_and_writes_nothing(create, quote, with_key, buyer, settings):
    settings.JOB_MAX_QUEUED = 2
    first, _ = create(), create()
    with pytest.raises(JobQueueFullError) as refused:
        create()
    assert refused.value.retryable and refused.value.data["retry_after"] > 0
    assert (Job.objects.count(), use()) == (2, (0, 2, 2))
    assert quote("a")["error"]["code"] == "job.queue_full"
    succeed(first)
    assert create().state == "queued"


def test_job_with_the_same_key_as_one_that_took_the_last_call_meanwhile_is_that_one(create, monkeypatch):
    first = create("abcde", idempotency_key="one")
    looked = iter([None])
    known = idempotency.row_of_key
    monkeypatch.setattr(idempotency, "row_of_key", lambda *given: next(looked, known(*given)))
    assert create("abcde", idempotency_key="one") == first
    assert use() == (0, 5, 1)


def test_day_of_a_job_is_on_its_entry(create):
    create()
    assert abs(CallEntry.objects.get().counted_on - timezone.now().date()) <= timedelta(days=1)
