"""Processes that are killed at each step of a job's life: what they leave is gone on with, and counted once."""

import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace.inference import services
from marketplace.inference.models import CallEntry, Job, JobPayload, LicenceUse, Receipt
from marketplace.webhooks import services as webhooks
from marketplace.webhooks.models import WebhookEvent

pytestmark = pytest.mark.django_db(transaction=True)
SCRIPT = """
import django; django.setup()
from marketplace.accounts.models import Account
from marketplace.inference import services
from marketplace.inference.models import Job
from models_registry.runtime.specs import RunResult

def create():
    services.job_create(account=account, model_id={model}, inputs=["a"], idempotency_key="k")

def claim():
    return services.job_claim_next()

def succeed():
    result = RunResult(outputs=[[0.5]], fingerprint={{}}, timings={{}}, usage={{}})
    checked = type("Checked", (), {{"block_number": 1, "block_hash": "0x"}})
    assert services.job_succeed(job=claim(), result=result, licence=checked)

def cancel():
    services.job_cancel(account=account, job_id=Job.objects.get().pk)

account = Account.objects.get(pk={account})
{step}()
"""


@pytest.fixture
def sold(sell, worker_key, buyer, clean_broker):
    webhooks.endpoint_create(account=buyer, url="https://hook.example/")
    return sell(calls=3)


@pytest.fixture
def create(sold, buyer):
    """`create()`: what the buyer's program sends, each time under the same key."""
    return lambda: services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"], idempotency_key="k")


@pytest.fixture
def kill(sold, buyer, spawn, tmp_path):
    """`kill("claim", at="job.claimed")`: a process takes that step and is killed there."""

    def killed(step: str, *, at: str) -> None:
        script = SCRIPT.format(account=buyer.pk, model=sold.model_id, step=step)
        env = {"WEIGHHOUSE_FAULTS": at, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
        process = spawn(step, [sys.executable, "-c", script], env=env)
        process.wait_until((tmp_path / at).exists, what=f"at {at}", timeout_s=60)
        process.kill()

    return killed


def sweep_later() -> None:
    """A minute later: leases have passed, and what nobody took is announced again."""
    past = timezone.now() - timedelta(minutes=2)
    Job.objects.filter(state="running").update(lease_until=past)
    Job.objects.filter(state="queued").update(enqueued_at=past)
    services.jobs_sweep()


def left() -> tuple[str, int, int] | None:
    """The job's state, and the calls of its licence that are used and reserved. `None`: there is no trace of a job."""
    if not Job.objects.exists():
        assert not any(model.objects.exists() for model in (CallEntry, JobPayload, Receipt, LicenceUse))
        return None
    row = LicenceUse.objects.get()
    return Job.objects.get().state, row.used, row.reserved


def ended_once(state: str) -> None:
    """The end is counted, told and signed, each once, however often somebody looks after it."""
    services.jobs_sweep()
    services.jobs_sweep()
    is_counted = state == "succeeded"
    assert left() == (state, int(is_counted), 0)
    assert LicenceUse.objects.get().open_jobs == 0
    assert CallEntry.objects.get().state == ("settled" if is_counted else "released")
    assert list(WebhookEvent.objects.values_list("kind", flat=True)) == [f"job.{state}"]
    receipt = Receipt.objects.get()
    assert receipt.digest and receipt.document["message"]["state"] == state
    assert receipt.document["message"]["calls"] == str(int(is_counted))


@pytest.mark.parametrize(
    ("step", "point", "found", "attempts"),
    [
        ("create", "job.half_written", None, 1),
        ("create", "job.committed", ("queued", 0, 1), 1),
        ("claim", "job.claimed", ("running", 0, 1), 2),
        ("succeed", "job.ending", ("running", 0, 1), 2),
    ],
)
def test_job_of_a_process_that_was_killed_before_its_end_is_run_and_counted_once(
    create, kill, celery_worker, step, point, found, attempts
):
    if step != "create":
        create()
    kill(step, at=point)
    assert left() == found
    assert create()[1] is (found is None)
    sweep_later()  # before there is a worker, whose lease it would end
    worker = celery_worker(queues="inference")
    worker.wait_until(Job.objects.filter(state="succeeded").exists, what="done", timeout_s=90)
    worker.stop()
    assert Job.objects.get().attempts == attempts
    ended_once("succeeded")


def test_job_whose_success_was_stored_when_its_worker_was_killed_has_its_receipt_from_the_sweep(create, kill):
    create()
    kill("succeed", at="job.ended")
    assert (left(), Receipt.objects.get().digest) == (("succeeded", 1, 0), "")
    ended_once("succeeded")


@pytest.mark.parametrize(("point", "found"), [("job.ending", ("queued", 0, 1)), ("job.ended", ("cancelled", 0, 0))])
def test_job_whose_cancelling_process_was_killed_is_cancelled_once_when_asked_again(create, kill, buyer, point, found):
    job, _ = create()
    kill("cancel", at=point)
    assert (left(), Receipt.objects.get().digest) == (found, "")
    services.job_cancel(account=buyer, job_id=job.pk)
    ended_once("cancelled")
