"""Trials: a job without a licence, of a budget that all share, never before a paid one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from marketplace.accounts.models import Account
from marketplace.inference import execution, services, trials
from marketplace.inference.errors import TrialExhaustedError
from marketplace.inference.models import CallEntry, Job, LicenceUse, TrialBudget
from models_registry.runtime.errors import InputError
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db
RESULT = RunResult(outputs=[[0.5]], fingerprint={}, timings={}, usage={})


@pytest.fixture(autouse=True)
def budgets(settings) -> None:
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = 5
    settings.TRIAL_CALLS_PER_ACCOUNT_PER_DAY = 3
    settings.TRIAL_CALLS_PER_ADDRESS_PER_DAY = 4


@pytest.fixture
def sold(sell):
    return sell(calls=10)


@pytest.fixture
def try_it(sold):
    def make(account: Account, inputs=("a",), *, client="10.0.0.1", asked: bool | None = True) -> Job:
        wish = trials.TrialWish(client, asked)
        return services.job_create(account=account, model_id=sold.model_id, inputs=list(inputs), trial=wish)[0]

    return make


@pytest.fixture
def accounts(db):
    return [Account.objects.create(address=f"0x{number:040x}") for number in range(1, 9)]


def taken() -> dict[str, int]:
    return {row.subject.partition(":")[0]: row.calls for row in TrialBudget.objects.all()}


def claim(job: Job) -> Job:
    held = services.job_claim(job_id=job.pk)
    assert held is not None
    return held


def test_trial_is_a_job_without_a_licence_whose_calls_come_out_of_three_budgets(try_it, outsider):
    job = try_it(outsider, "ab")
    entry = CallEntry.objects.get()
    assert (job.is_trial, job.licence_id, job.checked_block_number > 0) == (True, None, True)
    assert (entry.licence_id, entry.purchase, entry.limit, entry.calls) == (None, "", 0, 2)
    assert (taken(), LicenceUse.objects.count()) == ({"account": 2, "model": 2, "address": 2}, 0)


def test_trial_that_succeeds_is_counted_and_shows_its_result(try_it, outsider, with_key):
    held = claim(try_it(outsider))
    checked = execution._licence_check(held)
    assert services.job_succeed(job=held, result=RESULT, licence=checked)
    shown = with_key(outsider).get(f"/api/v1/jobs/{held.pk}").json()
    assert (shown["trial"], shown["licence"], shown["call"], shown["outputs"]) == (True, None, "settled", [[0.5]])
    assert taken() == {"account": 1, "model": 1, "address": 1}


def test_trial_that_no_worker_began_is_given_back_once(try_it, outsider):
    job = try_it(outsider, "ab")
    Job.objects.update(start_before=timezone.now() - timedelta(seconds=1))
    services.jobs_sweep()
    services.jobs_sweep()
    job.refresh_from_db()
    assert (job.state, taken()) == ("expired", {"account": 0, "model": 0, "address": 0})


def test_trial_that_its_owner_cancelled_counts(try_it, outsider):
    job = try_it(outsider, "ab")
    job = services.job_cancel(account=outsider, job_id=job.pk)
    assert taken() == {"account": 2, "model": 2, "address": 2}
    assert "used up all the same" in job.error["message"]


def test_trial_that_a_worker_began_counts_however_it_ends(try_it, outsider):
    for end in (
        lambda job: services.job_cancel(account=outsider, job_id=job.pk),
        lambda job: services.job_fail(job=job, error=InputError("The input is blank.")),
    ):
        end(claim(try_it(outsider)))
    assert taken() == {"account": 2, "model": 2, "address": 2}


def test_trials_of_many_wallets_win_nothing(try_it, accounts):
    for number, account in enumerate(accounts[:5]):
        try_it(account, client=f"10.0.0.{number}")
    with pytest.raises(TrialExhaustedError) as refused:
        try_it(accounts[5], client="10.0.0.99")
    assert "which all share" in refused.value.message and 0 < refused.value.data["retry_after"] <= 24 * 3600
    assert Job.objects.count() == 5


def test_trials_of_one_account_and_of_one_address_are_capped_too(try_it, accounts):
    try_it(accounts[0], "abc", client="10.0.0.1")
    with pytest.raises(TrialExhaustedError, match="this account"):
        try_it(accounts[0], client="10.0.0.2")
    with pytest.raises(TrialExhaustedError, match="your network address"):
        try_it(accounts[1], "ab", client="10.0.0.1")
    assert taken()["model"] == 3, "what is refused takes nothing"


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("not an address", "another", False),
    ],
)
def test_addresses_that_one_client_can_choose_from_are_one(one, two, same):
    day = timezone.now().date()
    assert (trials.client_subject(one, day) == trials.client_subject(two, day)) is same
    assert trials.client_subject(one, day) != trials.client_subject(one, day + timedelta(days=1))
    assert one not in trials.client_subject(one, day)


@pytest.mark.django_db(transaction=True)
def test_trial_budget_is_exact_under_concurrency(accounts):
    day = timezone.now().date()

    def take(number: int) -> bool:
        names = {"account_id": accounts[number % 8].pk, "model_id": 1, "client": f"10.0.{number}.1"}
        try:
            with transaction.atomic():
                trials.trial_take(**names, calls=1, day=day)
            return True
        except TrialExhaustedError:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(take, range(24))).count(True) == 5
    assert TrialBudget.objects.get(subject="model:1").calls == 5


def test_account_without_a_licence_gets_a_trial_unless_it_says_no(try_it, outsider, buyer, with_key, sold):
    assert try_it(outsider, asked=None).is_trial
    assert not try_it(buyer, asked=None).is_trial, "who holds a licence runs under it"
    assert try_it(buyer).is_trial, "who asks for a trial gets one"
    body = {"model": str(sold.model_id), "inputs": ["a"], "trial": False}
    refused = with_key(outsider).post("/api/v1/jobs", body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "licence.none")


def test_account_whose_licence_is_over_is_told_so_and_gets_no_trial_by_itself(sold, buyer, with_key):
    sold.market.cancel(sold.licence_id)
    body = {"model": str(sold.model_id), "inputs": ["a"]}
    refused = with_key(buyer).post("/api/v1/jobs", body, format="json")
    assert refused.json()["code"] == "licence.cancelled"


def test_trial_by_the_api_is_told_apart_and_refused_beyond_the_budget(sold, outsider, with_key):
    client = with_key(outsider)
    body = {"model": str(sold.model_id), "inputs": ["a", "b"], "trial": True}
    quote = client.post("/api/v1/jobs/quote", body, format="json").json()
    assert (quote["accepted"], quote["trial"], quote["licence"], quote["left"]) == (True, True, None, 1)
    accepted = client.post("/api/v1/jobs", body, format="json")
    assert (accepted.status_code, accepted.json()["trial"], accepted.json()["calls"]) == (202, True, 2)
    assert "RateLimit" not in accepted.headers
    refused = client.post("/api/v1/jobs", body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "trial.exhausted")
    assert int(refused.headers["Retry-After"]) <= 24 * 3600
    both = client.post("/api/v1/jobs", {**body, "licence": str(sold.licence_id)}, format="json")
    assert (both.status_code, both.json()["code"]) == (403, "trial.unavailable")


def test_trial_of_a_suspended_model_is_refused_also_by_the_worker(try_it, sold, outsider):
    job = try_it(outsider)
    sold.market.suspend(sold.model_id)
    with pytest.raises(trials.TrialUnavailableError, match="suspended"):
        try_it(outsider)
    execution.job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.error["code"]) == ("failed", "trial.unavailable")


def test_owner_of_a_model_refuses_trials_of_it_and_nobody_else_does(try_it, sold, outsider, publisher, with_key):
    url = f"/api/v1/models/{sold.model_id}/trials"
    assert with_key(outsider).put(url, {"allowed": False}, format="json").status_code == 404
    assert with_key(publisher).put(url, {"allowed": False}, format="json").json() == {"allowed": False}
    with pytest.raises(trials.TrialUnavailableError):
        try_it(outsider)
    assert with_key(publisher).put(url, {"allowed": True}, format="json").json() == {"allowed": True}
    assert try_it(outsider).is_trial


def test_trial_waits_only_where_few_jobs_wait_and_never_keeps_a_paid_one_out(try_it, sold, buyer, outsider, settings):
    settings.JOB_MAX_QUEUED = 10
    trial = try_it(outsider)
    with pytest.raises(services.placing.JobQueueFullError):
        try_it(outsider)
    settings.JOB_MAX_QUEUED = 1
    paid, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])
    assert [services.job_claim_next(), services.job_claim_next()] == [paid, trial]


@pytest.mark.parametrize("wrong", [{"is_trial": True}, {"is_trial": False, "licence_id": None}])
def test_job_that_is_neither_a_trial_nor_under_a_licence_cannot_be_stored(sold, buyer, wrong):
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**wrong)


def test_budgets_of_days_that_are_over_are_deleted(try_it, outsider):
    try_it(outsider)
    TrialBudget.objects.filter(subject__startswith="model").update(day=timezone.now().date() - timedelta(days=3))
    assert (trials.trial_budgets_purge(), sorted(taken())) == (1, ["account", "address"])


@pytest.mark.django_db(transaction=True)
def test_trial_runs_in_the_sandbox_as_any_job(try_it, outsider, celery_worker):
    worker = celery_worker(queues="inference")
    job = try_it(outsider)
    worker.wait_until(
        lambda: not Job.objects.filter(state__in=["queued", "running"]).exists(), what="done", timeout_s=180
    )
    job.refresh_from_db()
    assert (job.state, job.error, CallEntry.objects.get().state) == ("succeeded", None, "settled")


def test_page_offers_a_trial_to_who_is_signed_in_and_says_what_is_left(sold, outsider, signed_in):
    browser = signed_in(outsider)
    page = f"/models/{sold.model_id}/"
    assert "you have 3 trial calls" in browser.get(page).content.decode()
    form = {"inputs": "the house", "trial": "1"}
    quoted = browser.post(f"{page}run/quote/", form).content.decode()
    assert "2 left today after it" in quoted and not Job.objects.exists()
    assert browser.post(f"{page}run/", form).status_code == 302
    job = Job.objects.get()
    assert "none: a trial" in browser.get(f"/jobs/{job.pk}/").content.decode()
    browser.post(f"{page}run/", {"inputs": "a\nb", "each_line": "on", "trial": "1"})
    shown = browser.get(page).content.decode()
    assert "are used up" in shown and 'name="trial"' not in shown


def test_page_of_the_owner_turns_trials_off_and_on(sold, publisher, outsider, signed_in):
    url = f"/models/{sold.model_id}/trials/"
    owner = signed_in(publisher)
    assert "Refuse trials" in owner.get("/my/models/").content.decode()
    assert owner.post(url, {"allowed": "0"}).status_code == 302
    assert "Allow trials" in owner.get("/my/models/").content.decode()
    assert "trial call" not in signed_in(outsider).get(f"/models/{sold.model_id}/").content.decode()
    assert signed_in(outsider).post(url, {"allowed": "1"}).status_code == 404
