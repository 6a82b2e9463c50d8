"""A job's page says how long the job waited and ran, and what of that the runner accounts for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace.inference import services
from marketplace.inference.models import Job
from marketplace.storefront.job_times import job_times
from models_registry.runtime.errors import RunnerCrashedError
from models_registry.runtime.specs import RunResult

CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
TIMINGS = {"run_s": 1.25, "load_s": 61.5, "wait_s": 0.5}


@pytest.fixture
def job(holder, listed, broker) -> Job:
    return services.job_create(account=holder, model_id=listed.model_id, inputs="A sentence.")[0]


@pytest.fixture
def page(holder, signed_in, read):
    return lambda url: read(signed_in(holder).get(url)).text


def succeed(job: Job, timings) -> None:
    result = RunResult(outputs=[[3.0, 4.0]], fingerprint={}, timings=timings, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)


def times_of(job: Job, **ago_s: float) -> dict[str, str]:
    """What the page says of the job as it is now, had its moments been so many seconds ago."""
    now = timezone.now()
    Job.objects.update(**{f"{name}_at": now - timedelta(seconds=seconds) for name, seconds in ago_s.items()})
    return dict(job_times(Job.objects.get(pk=job.pk)))


def test_page_of_a_job_that_has_not_begun_says_so(job, page):
    assert "Waited it has not begun yet Ran it has not begun yet Cancel" in page(f"/jobs/{job.pk}/")


def test_page_of_a_job_that_ended_says_how_long_it_waited_and_ran_and_what_the_runner_did(job, page):
    succeed(job, TIMINGS)
    times_of(job, created=200, started=130, finished=66.6)
    shown = "Waited 1 min 10 s Ran 1 min 3 s In line for the runner 0.5 s Loading the model 1 min 2 s Computing 1.2 s"
    assert shown in page(f"/jobs/{job.pk}/")
    assert shown in page(f"/jobs/{job.pk}/state/"), "whoever follows the job sees it without a reload"
    assert "Waited" not in page(f"/jobs/{job.pk}/state/?link=1"), "the model's page has the result alone"


def test_times_of_a_warm_runner_say_that_the_model_was_loaded(job):
    succeed(job, {"load_s": 0, "run_s": 0.04})
    assert times_of(job) | {"Waited": "", "Ran": ""} == {
        "Waited": "",
        "Ran": "",
        "Loading the model": "no time: it was loaded",
        "Computing": "0.0 s",
    }


def test_times_of_a_job_that_runs_or_waits_for_another_attempt_name_no_end(job):
    claimed = services.job_claim(job_id=job.pk)
    assert times_of(job, created=5, started=2) == {"Waited": "3.0 s", "Ran": "it is running"}
    services.job_retry(job=claimed, error=RunnerCrashedError("The runner ended."), counts=True)
    assert times_of(job) == {
        "Waited": "3.0 s before an attempt that did not end it; it waits again",
        "Ran": "no attempt came to an end",
    }
    Job.objects.update(run_after=None)
    services.job_claim(job_id=job.pk)
    assert times_of(job, created=8000, started=80)["Waited"] == "2 h 12 min, until attempt 2 began"


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_times_of_a_job_that_ended_in_the_queue_count_no_run(job, holder, is_cancelled):
    if is_cancelled:
        services.job_cancel(account=holder, job_id=job.pk)
    else:
        Job.objects.update(start_before=timezone.now())
        services.jobs_sweep()
    ended = times_of(job, created=10, finished=5.5)
    assert ended == {"Waited": "4.5 s, and did not begin", "Ran": "not at all"}
    # As one that was tried before it ended.
    assert times_of(job, started=8)["Ran"] == "no attempt came to an end"


def test_times_of_a_job_that_was_cancelled_while_it_ran_count_the_run(job, holder):
    services.job_claim(job_id=job.pk)
    services.job_cancel(account=holder, job_id=job.pk)
    # The clock of the worker is ahead of the site's.
    assert times_of(job, created=10, started=12, finished=7) == {"Waited": "0.0 s", "Ran": "5.0 s"}
