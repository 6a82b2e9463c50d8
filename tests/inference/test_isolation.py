"""Dedicated runners: by the buyer's wish, the model's owner's or the operator's, never shared with another licence."""

import threading
from types import SimpleNamespace

import pytest

from marketplace.accounts.models import Account
from marketplace.inference import execution, isolation, services, trials
from marketplace.inference.errors import TrialUnavailableError
from marketplace.inference.models import DedicatedModel, Isolation, Job
from marketplace.inference.receipts.recheck import job_recheck
from models_registry.errors import ModelNotFoundError
from models_registry.runners import runner_pool, runner_pool_close
from tests.fixtures.people import OUTSIDER

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    """Both the buyer and the outsider hold a licence."""
    sold = sell(calls=200)
    sold.market.buy(sold.plan_id, by=OUTSIDER)
    sold.market.index()
    return sold


@pytest.fixture
def create(sold):
    def make(account: Account, **extra) -> Job:
        values = {"account": account, "model_id": sold.model_id, "inputs": "the house", **extra}
        return services.job_create(**values)[0]

    return make


@pytest.fixture
def run(settings):
    """`run(job)`: in this process's pool; the process outside the sandbox of the runner that did."""

    def in_pool(job: Job) -> int:
        keeper = SimpleNamespace(lost=threading.Event(), told_wait=lambda: None)
        held = services.job_claim(job_id=job.pk)
        result = execution._result(held, keeper)
        checked = SimpleNamespace(block_number=1, block_hash="0x")
        assert services.job_succeed(job=held, result=result, licence=checked)
        assert result.fingerprint["dedicated"] is (job.isolation == "dedicated")
        return runner_pool().pids()[execution._spec(job).key]

    settings.SANDBOX_SPARES = 0
    runner_pool_close()  # of the tests before
    yield in_pool
    runner_pool_close()


def test_buyers_share_a_runner_and_a_dedicated_job_shares_it_with_no_other_licence(create, run, buyer, outsider):
    shared = {run(create(account)) for account in (buyer, outsider)}
    alone = [run(create(account, isolation="dedicated")) for account in (buyer, outsider, buyer)]
    assert len(shared) == 1
    assert (alone[0] == alone[2], len({*shared, *alone})) == (True, 3)
    assert run(create(outsider)) in shared


def test_dedicated_job_is_checked_again_in_a_dedicated_runner(create, run, buyer):
    job = create(buyer, isolation="dedicated")
    alone = run(job)
    assert job_recheck(job_id=job.pk).verdict == "exact"
    assert list(runner_pool().pids().values()) == [alone]


def test_dedicated_jobs_of_two_licences_of_an_account_share_no_runner(create, sold, buyer):
    other = sold.market.buy(sold.plan_id)
    sold.market.index()
    jobs = [create(buyer, isolation="dedicated", licence_id=licence) for licence in (sold.licence_id, other)]
    assert len({execution._spec(job).key for job in jobs}) == 2


def test_trial_gets_a_runner_of_its_account_alone_where_the_owner_requires_it_and_not_for_the_asking(
    create, sold, settings, publisher
):
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = 5
    accounts = [Account.objects.create(address=f"0x{number:040x}") for number in (1, 2)]
    wish = trials.TrialWish("10.0.0.1", asked=True)
    with pytest.raises(TrialUnavailableError, match="no runner of its own"):
        create(accounts[0], trial=wish, isolation="dedicated")
    asked = {"account": accounts[0], "model_id": sold.model_id, "inputs": "the house", "trial": wish}
    quote = services.job_quote(**asked, isolation="dedicated")
    assert (quote.accepted, quote.error["code"]) == (False, "trial.unavailable")
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=True)
    jobs = [create(account, trial=wish, isolation=way) for account, way in zip(accounts, Isolation.values, strict=True)]
    assert len({isolation.runner_owner(job) for job in jobs} - {""}) == 2


def test_trial_that_had_to_be_dedicated_is_repeated_as_the_model_is_now(create, sold, settings, publisher):
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = 5
    account = Account.objects.create(address=f"0x{1:040x}")
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=True)
    job = create(account, trial=trials.TrialWish("10.0.0.1", asked=True))
    services.job_cancel(account=account, job_id=job.pk)
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=False)
    again, _ = services.job_again(account=account, job_id=job.pk, client="10.0.0.1")
    assert (job.isolation, again.isolation) == ("dedicated", "shared")


def test_job_is_shared_unless_somebody_wants_otherwise(create, buyer):
    job = create(buyer)
    assert (job.isolation, isolation.runner_owner(job)) == (Isolation.SHARED, "")


def test_job_of_a_model_whose_owner_requires_it_is_dedicated_though_not_asked_for(create, sold, buyer, publisher):
    before = create(buyer)
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=True)
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=True)
    assert create(buyer).isolation == Isolation.DEDICATED
    before.refresh_from_db()
    assert before.isolation == Isolation.SHARED, "what was accepted stays"
    isolation.isolation_require(account=publisher, model_id=sold.model_id, required=False)
    assert create(buyer).isolation == Isolation.SHARED


def test_requirement_by_an_outsider_is_refused_and_changes_nothing(sold, outsider):
    with pytest.raises(ModelNotFoundError):
        isolation.isolation_require(account=outsider, model_id=sold.model_id, required=True)
    assert not DedicatedModel.objects.exists()


def test_site_whose_runners_are_all_dedicated_says_so_of_each_job_and_heeds_it_for_older_ones(create, buyer, settings):
    older = create(buyer)
    settings.RUNNER_DEDICATED = True
    assert create(buyer).isolation == Isolation.DEDICATED
    assert isolation.runner_owner(older).endswith(f"licence {older.licence_id}")


def test_batch_hands_its_isolation_to_its_jobs(sold, buyer, with_key):
    body = {"model": str(sold.model_id), "inputs": ["the house"] * 150, "isolation": "dedicated"}
    answer = with_key(buyer).post("/api/v1/batches", body, format="json")
    assert (answer.status_code, answer.json()["isolation"]) == (202, "dedicated")
    jobs = Job.objects.filter(batch_id=answer.json()["id"])
    assert {job.isolation for job in jobs} == {"dedicated"} and len(jobs) > 1


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/batches"])
def test_isolation_is_part_of_what_an_idempotency_key_stands_for(sold, buyer, with_key, path):
    client, body = with_key(buyer), {"model": str(sold.model_id), "inputs": ["the house"]}

    def post(**extra):
        return client.post(path, body | extra, format="json", headers={"Idempotency-Key": "k"})

    first = post(isolation="dedicated")
    assert post(isolation="dedicated").json()["id"] == first.json()["id"]
    for other in ({}, {"isolation": "shared"}):
        assert post(**other).json()["code"] == "job.idempotency_conflict"


def test_shared_and_nothing_said_are_the_same_request(sold, buyer, with_key):
    client, body = with_key(buyer), {"model": str(sold.model_id), "inputs": ["the house"]}
    given = [body, body | {"isolation": "shared"}]
    headers = {"Idempotency-Key": "k"}
    answers = [client.post("/api/v1/jobs", one, format="json", headers=headers).json() for one in given]
    assert (answers[0]["id"], answers[0]["isolation"]) == (answers[1]["id"], "shared")


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/batches", "/api/v1/jobs/quote"])
def test_isolation_of_another_name_is_refused(sold, buyer, with_key, path):
    body = {"model": str(sold.model_id), "inputs": ["the house"], "isolation": "none"}
    answer = with_key(buyer).post(path, body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_quote_of_a_dedicated_job_is_that_of_a_shared_one(sold, buyer, with_key):
    client, body = with_key(buyer), {"model": str(sold.model_id), "inputs": ["the house"]}
    quotes = [client.post("/api/v1/jobs/quote", {**body, "isolation": way}, format="json") for way in Isolation.values]
    assert quotes[0].json() == quotes[1].json() and quotes[0].json()["accepted"]


def test_owner_requires_dedicated_runners_by_the_api_and_everybody_sees_it(sold, buyer, publisher, with_key):
    url = f"/api/v1/models/{sold.model_id}/isolation"
    assert with_key(buyer).get(url).json() == {"dedicated": False}
    assert with_key(publisher).put(url, {"dedicated": True}, format="json").json() == {"dedicated": True}
    assert with_key(buyer).put(url, {"dedicated": False}, format="json").status_code == 404
    assert with_key(buyer).get(url).json() == {"dedicated": True}
