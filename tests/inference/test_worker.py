"""A real worker process, a real broker, a real sandbox, a real chain. Workers die by SIGKILL at acknowledged points."""

import shutil
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from marketplace.inference import ledger, selectors, services
from marketplace.inference.models import CallEntry, Job, JobPayload, LicenceUse
from marketplace.inference.payloads import payload_encrypt
from tests.runtime.support import family

pytestmark = pytest.mark.django_db(transaction=True)
LEASE_S = 2


def create(sold, account, **extra) -> Job:
    job, _ = services.job_create(account=account, model_id=sold.model_id, inputs=["the weigh house"], **extra)
    return job


def wait_for(job: Job, *states: str, timeout_s: float = 60) -> Job:
    deadline = time.monotonic() + timeout_s
    while True:
        job.refresh_from_db()
        if job.state in states:
            return job
        assert time.monotonic() < deadline, (job.state, job.attempts, job.error)
        time.sleep(0.05)


def use() -> tuple[int, int]:
    row = LicenceUse.objects.get()
    return row.used, row.reserved


@pytest.fixture
def acknowledged():
    directory = Path(settings.VAR_DIR) / "faults"
    yield lambda point: (directory / point).exists()
    shutil.rmtree(directory, ignore_errors=True)


def test_worker_runs_a_job_once_however_often_it_is_told_of_it(sell, buyer, celery_worker):
    sold = sell(calls=3)
    job = create(sold, buyer)
    services.job_enqueue(job_id=uuid.uuid4())
    for _ in range(3):
        services.job_enqueue(job_id=job.pk)
    celery_worker(queues="inference")
    job = wait_for(job, "succeeded", "failed")
    time.sleep(1)
    job.refresh_from_db()
    assert (job.state, job.error, job.attempts, use()) == ("succeeded", None, 1, (1, 0))
    found = selectors.job_outputs(job)
    assert [len(vector) for vector in found.outputs] == [32]
    assert found.usage["input_tokens"] > 0
    assert {"device", "dtype", "isolation"} <= set(job.fingerprint)


@pytest.mark.parametrize("point", ["worker.during_job", "worker.result_ready"])
def test_worker_killed_during_a_job_leaves_it_to_the_next_which_counts_it_once(
    sell, buyer, celery_worker, acknowledged, point
):
    sold = sell(calls=3)
    doomed = celery_worker(queues="inference", env={"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_JOB_LEASE_S": str(LEASE_S)})
    job = create(sold, buyer)
    doomed.wait_until(lambda: acknowledged(point), what=f"at {point}", timeout_s=60)
    assert wait_for(job, "running").attempts == 1
    # The lease is kept while the worker lives, however long the job takes.
    time.sleep(LEASE_S + 1)
    services.jobs_sweep()
    assert wait_for(job, "running").attempts == 1
    doomed.kill()
    time.sleep(LEASE_S)
    celery_worker(queues="inference,default")
    job = wait_for(job, "succeeded", "failed")
    assert (job.state, job.attempts, use()) == ("succeeded", 2, (1, 0))
    assert CallEntry.objects.filter(state="settled").count() == CallEntry.objects.count() == 1
    assert len(selectors.job_outputs(job).outputs) == 1


def test_worker_refuses_a_job_forced_into_the_queue_under_a_foreign_licence(sell, buyer, outsider, celery_worker):
    sold = sell(calls=3)
    now = timezone.now()
    forged = Job.objects.create(
        account=outsider,
        model_id=sold.model_id,
        licence_id=sold.licence_id,
        release_digest=sold.release.digest,
        task="feature-extraction",
        checked_block_number=1,
        checked_block_hash="0x",
        start_before=now + timedelta(minutes=5),
        request_mac="0" * 64,
    )
    request = payload_encrypt(forged.pk, {"inputs": ["the house"], "parameters": {}})
    JobPayload.objects.create(job=forged, request=request, delete_at=now + timedelta(hours=1))
    assert ledger.call_room(licence_id=sold.licence_id, purchase="0x01", calls=ledger.Calls(3))
    ledger.call_enter(job=forged, purchase="0x01", limit=3)
    celery_worker(queues="inference")
    services.job_enqueue(job_id=forged.pk)
    job = wait_for(forged, "succeeded", "failed")
    assert (job.state, job.error["code"], use()) == ("failed", "licence.foreign", (0, 0))
    assert selectors.job_outputs(job) is None


def test_worker_refuses_a_job_whose_licence_expired_in_the_queue(sell, buyer, celery_worker):
    sold = sell(period=3600)
    job = create(sold, buyer)
    sold.market.anvil.rpc("evm_increaseTime", 3600)
    sold.market.mine()
    celery_worker(queues="inference")
    job = wait_for(job, "succeeded", "failed")
    assert (job.state, job.error["code"], use()) == ("failed", "licence.expired", (0, 0))


def test_worker_with_a_dead_node_puts_the_job_back_and_the_next_one_runs_it(sell, buyer, celery_worker):
    job = create(sell(calls=3), buyer)
    cut_off = celery_worker(queues="inference", env={"WEIGHHOUSE_RPC_URL": "http://127.0.0.1:9"})
    services.job_enqueue(job_id=job.pk)
    deadline = time.monotonic() + 60
    while not (job.error and job.state == "queued"):
        assert time.monotonic() < deadline, (job.state, job.error)
        time.sleep(0.05)
        job.refresh_from_db()
    assert (job.error["code"], job.attempts, use()) == ("chain.node_unavailable", 0, (0, 1))
    cut_off.stop()
    Job.objects.filter(pk=job.pk).update(run_after=timezone.now())
    celery_worker(queues="inference")
    services.job_enqueue(job_id=job.pk)
    job = wait_for(job, "succeeded", "failed")
    assert (job.state, job.error, use()) == ("succeeded", None, (1, 0))


def test_worker_with_a_model_that_does_not_load_fails_the_job_with_the_reason_and_goes_on(
    sell, list_model, market, buyer, celery_worker, tiny_embedder, tmp_path
):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_embedder, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    model_id, _ = list_model(broken)
    market.buy(market.add_plan(model_id))
    sold = sell()
    celery_worker(queues="inference")
    bad, _ = services.job_create(account=buyer, model_id=model_id, inputs="the house")
    bad = wait_for(bad, "succeeded", "failed")
    assert (bad.state, bad.error["code"]) == ("failed", "model.unloadable")
    assert "/" not in bad.error["message"]
    assert LicenceUse.objects.get(licence_id=bad.licence_id).reserved == 0
    assert wait_for(create(sold, buyer), "succeeded", "failed").state == "succeeded"


def test_worker_without_a_sandbox_does_not_start(broker, transactional_db, spawn):
    argv = [sys.executable, "-m", "celery", "-A", "marketplace", "worker", "--pool", "threads", "-Q", "inference"]
    worker = spawn("worker", argv, env={"WEIGHHOUSE_SANDBOX_BWRAP": "/nonexistent/bwrap"})
    assert worker.process.wait(60) != 0
    assert "This worker does not start" in worker.output()
    assert "sandbox.unavailable" in worker.output()
    assert "Traceback" not in worker.output()


def test_worker_for_webhooks_alone_starts_without_a_sandbox(celery_worker):
    worker = celery_worker(queues="webhooks", env={"WEIGHHOUSE_SANDBOX_BWRAP": "/nonexistent/bwrap"})
    assert "sandbox" not in worker.output().lower()


def test_worker_has_a_spare_runner_before_its_first_job_and_runs_the_job_in_it(sell, buyer, celery_worker):
    sold = sell()
    worker = celery_worker(queues="inference")
    worker.wait_until(lambda: locked_in(worker.pid) != [], what="keeping a spare", timeout_s=180)
    (spare,) = locked_in(worker.pid)
    assert " /model/release " not in Path(f"/proc/{spare}/mountinfo").read_text()
    assert wait_for(create(sold, buyer), "succeeded", "failed").state == "succeeded"
    assert " /model/release " in Path(f"/proc/{spare}/mountinfo").read_text()


def locked_in(pid: int) -> list[int]:
    """Descendants with both system call filters: runners that are ready for a release, or have one."""
    statuses = {member: Path(f"/proc/{member}/status") for member in family(pid)}
    return [member for member, status in statuses.items() if "Seccomp_filters:\t2\n" in status.read_text()]


def test_worker_that_an_attack_got_out_of_does_not_start(broker, transactional_db, spawn, tmp_path):
    """A bwrap that leaves the machine's files readable passes for a sandbox, until it is attacked."""
    leaky = tmp_path / "bwrap"
    real = shutil.which("bwrap")
    leaky.write_text(f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
at = words.index("--remount-ro")
os.execv("{real}", ["bwrap", *words[:at], "--ro-bind", "/etc/hostname", "/etc/hostname", *words[at:]])
""")
    leaky.chmod(0o755)
    argv = [sys.executable, "-m", "celery", "-A", "marketplace", "worker", "--pool", "threads", "-Q", "inference"]
    worker = spawn("worker", argv, env={"WEIGHHOUSE_SANDBOX_BWRAP": str(leaky)})
    assert worker.process.wait(120) != 0
    assert "This worker does not start: The sandbox does not hold" in worker.output()
    assert "find other files (start)" in worker.output()
    assert "Traceback" not in worker.output()


def test_job_created_without_a_broker_is_announced_by_the_sweep(sell, buyer, broker, celery_worker):
    sold = sell()
    celery_worker(queues="inference")
    with broker.client() as client:
        job = create(sold, buyer)
        # Its message is lost before a worker takes it, or was taken: either way the job must end well.
        client.delete("inference")
    Job.objects.filter(pk=job.pk, state="queued").update(enqueued_at=timezone.now() - timedelta(minutes=2))
    services.jobs_sweep()
    assert wait_for(job, "succeeded", "failed").state == "succeeded"
