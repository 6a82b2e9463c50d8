"""Statements about jobs agree with the ledger: what a job costs, under a licence, a trial or a key of one licence."""

import pytest
from rest_framework.test import APIClient
from weighhouse.core import canonical
from weighhouse.verify import verify

from marketplace.accounts.services import api_key_create
from marketplace.inference import services
from marketplace.inference.models import CallEntry, Job, LicenceUse, Receipt
from marketplace.inference.receipts import issuing, selectors
from marketplace.inference.receipts.issuing import acceptance_issue
from marketplace.inference.trials import TrialWish
from tests.inference.receipt_steps import ENDS, document_of, end_cancelled, keys_listed, message_of, on_chain

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    return sell(calls=30)


@pytest.fixture
def create(sold, buyer):
    def make(inputs=("the house",), **extra) -> Job:
        return services.job_create(account=buyer, model_id=sold.model_id, inputs=list(inputs), **extra)[0]

    return make


@pytest.fixture
def try_it(sold, outsider, settings):
    """`try_it("ab")`: a trial of two inputs, by an account without a licence."""
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = 20

    def make(inputs=("the house",)) -> Job:
        wish = TrialWish("10.0.0.1", True)
        return services.job_create(account=outsider, model_id=sold.model_id, inputs=list(inputs), trial=wish)[0]

    return make


@pytest.fixture
def signatures(monkeypatch) -> list[bytes]:
    """Digests that a worker key signed."""
    signed: list[bytes] = []

    def sign(key, digest, real=issuing.worker_key_sign):
        signed.append(digest)
        return real(key, digest)

    monkeypatch.setattr(issuing, "worker_key_sign", sign)
    return signed


def results_of(report) -> dict[str, str]:
    return {check.name: check.result.value for check in report.checks}


@pytest.mark.parametrize(("end", "state", "code"), ENDS)
def test_receipt_of_a_job_without_a_result_names_the_error_and_counts_no_call(
    create, buyer, worker_key, end, state, code
):
    job = create()
    end(job, buyer)
    job.refresh_from_db()
    report = on_chain(document_of(job), keys=keys_listed())
    assert report.ok, report.text()
    message = message_of(job)
    assert (message["state"], message["errorCode"], message["calls"]) == (state, code, "0")


def test_acceptance_and_receipt_say_what_a_job_of_several_inputs_costs(create, finish, buyer, worker_key):
    done, cancelled = create("abc"), create("abcd")
    accepted = [acceptance_issue(job=job)["message"]["calls"] for job in (done, cancelled)]
    finish(done)
    end_cancelled(cancelled, buyer)
    assert accepted == ["3", "4"]
    assert [message_of(job)["calls"] for job in (done, cancelled)] == ["3", "0"]


def test_calls_settled_are_those_of_receipts_and_of_the_licences_use(create, try_it, finish, worker_key, sold, buyer):
    done = [finish(create("ab")), finish(create("abc"))]
    end_cancelled(create(), buyer)
    finish(try_it())
    assert sum(int(message_of(job)["calls"]) for job in done) == 5
    ((licence_id, purchase),) = selectors.calls_settled([sold.licence_id])
    assert selectors.calls_settled([sold.licence_id]) == {(sold.licence_id, purchase): 5}
    use = LicenceUse.objects.get()
    assert (use.licence_id, use.purchase, use.used) == (licence_id, purchase, 5)
    assert selectors.calls_settled([7]) == {}


def test_receipt_under_a_licence_of_another_model_says_so(create, finish, worker_key):
    job = finish(create())
    Job.objects.filter(pk=job.pk).update(licence_id=(7 << 64) + (1 << 32) + 1)
    assert results_of(on_chain(document_of(job)))["plan"] == "FAILED"


def test_receipt_and_acceptance_of_a_trial_name_no_licence_and_its_calls(try_it, finish, worker_key):
    job = try_it("ab")
    acceptance = acceptance_issue(job=job)
    accepted = on_chain(canonical.dumps(acceptance), keys=keys_listed())
    report = on_chain(document_of(finish(job)), keys=keys_listed())
    for checked in (accepted, report):
        assert checked.ok, checked.text()
        assert results_of(checked)["plan"] == "not checked"
        assert results_of(checked)["checked block"] == "ok"
    message = message_of(job)
    assert (message["licenceId"], message["calls"], message["state"]) == ("0", "2", "succeeded")
    assert (acceptance["message"]["licenceId"], acceptance["message"]["calls"]) == ("0", "2")


@pytest.mark.parametrize(("end", "state", "code"), ENDS)
def test_receipt_of_a_trial_without_a_result_counts_no_call(try_it, outsider, worker_key, end, state, code):
    job = try_it()
    end(job, outsider)
    report = on_chain(document_of(job), keys=keys_listed())
    assert report.ok, report.text()
    message = message_of(job)
    assert (message["state"], message["errorCode"], message["calls"], message["licenceId"]) == (state, code, "0", "0")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("end", "state", "code"), ENDS)
def test_job_gets_its_receipt_at_once_however_it_ends(
    create, buyer, worker_key, end, state, code, clean_broker, monkeypatch
):
    # What the sweep would mend must not hide that the end itself led to a receipt.
    monkeypatch.setattr("marketplace.inference.services.sweeping.receipts_sweep", lambda: 0)
    job = create()
    end(job, buyer)
    assert selectors.receipt_get(job).document["message"]["state"] == state


def test_sweep_signs_what_is_unsigned_while_no_job_waits(create, finish, worker_key):
    job = finish(create())
    assert selectors.receipt_get(job).document is None
    services.jobs_sweep()
    assert selectors.receipt_get(job).document is not None


@pytest.mark.parametrize("trial", [None, True])
def test_quote_leaves_no_acceptance_and_signs_nothing(sold, buyer, with_key, worker_key, signatures, settings, trial):
    settings.TRIAL_CALLS_PER_MODEL_PER_DAY = 20
    client = with_key(buyer, "run")
    body = {"model": str(sold.model_id), "inputs": ["a", "b"], "trial": trial}
    quote = client.post("/api/v1/jobs/quote", body, format="json").json()
    assert (quote["accepted"], quote["calls"], quote["trial"]) == (True, 2, trial is True)
    assert not {"acceptance", "input_salt", "receipt"} & quote.keys()
    assert (signatures, Receipt.objects.count(), Job.objects.count(), CallEntry.objects.count()) == ([], 0, 0, 0)
    accepted = client.post("/api/v1/jobs", body, format="json").json()
    assert (accepted["calls"], accepted["acceptance"]["message"]["calls"], len(signatures)) == (2, "2", 1)


def test_key_of_one_licence_gets_the_statements_of_its_own_jobs_alone(sold, buyer, create, finish, worker_key):
    _, secret = api_key_create(account=buyer, name="a program", scopes=["run"], licence_id=sold.licence_id)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    body = {"model": str(sold.model_id), "inputs": ["mine"]}
    mine = Job.objects.get(pk=client.post("/api/v1/jobs", body, format="json").json()["id"])
    jobs = {"mine": finish(mine), "theirs": finish(create(["theirs"]))}
    for path in ("acceptance", "receipt", "receipt/opening"):
        own, other = (client.get(f"/api/v1/jobs/{jobs[whose].pk}/{path}") for whose in ("mine", "theirs"))
        assert own.status_code == 200, path
        assert (other.status_code, other.json()["code"]) == (404, "job.not_found"), path
    assert verify(client.get(f"/api/v1/jobs/{mine.pk}/receipt").content).ok
