"""What a worker loads before it is asked: what ran most of late, if it may."""

from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace.inference import execution, services, warming
from marketplace.inference.models import Job
from models_registry.runners import runner_pool, runner_pool_close
from models_registry.runtime.errors import ModelUnloadableError
from tests.inference.test_worker import create, wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    return sell()


@pytest.fixture
def busy():
    """`busy(sold, account, runs)`: jobs of the model that succeeded, so many. The last of them."""

    def make(sold, account, runs: int, **fields) -> Job:
        for _ in range(runs):
            job, _ = services.job_create(account=account, model_id=sold.model_id, inputs=["the house"])
            Job.objects.filter(pk=job.pk).update(state="succeeded", **fields)
        return Job.objects.get(pk=job.pk)

    return make


def keys(most: int) -> list[tuple[str, ...]]:
    return [spec.key for spec in warming._busiest(most)]


def test_busiest_releases_are_those_that_succeeded_most_in_the_last_day(
    sold, market, list_model, tiny_classifier, buyer, busy
):
    model_id, _ = list_model(tiny_classifier, "text-classification")
    market.buy(market.add_plan(model_id))
    market.index()
    other = type(sold)(market, model_id, 0, 0, None)
    embedded, classified = busy(sold, buyer, 2), busy(other, buyer, 1)
    ran = [execution._spec(embedded).key, execution._spec(classified).key]
    assert (keys(2), keys(1), keys(0)) == (ran, ran[:1], [])
    busy(other, buyer, 2)
    assert keys(1) == ran[1:]


@pytest.mark.parametrize(
    "fields", [{"state": "failed"}, {"isolation": "dedicated"}, {"created_at": timezone.now() - timedelta(days=2)}]
)
def test_jobs_that_failed_or_were_dedicated_or_are_old_make_no_release_busy(sold, buyer, busy, fields):
    job = busy(sold, buyer, 1)
    Job.objects.filter(pk=job.pk).update(**fields)
    assert keys(1) == []


def test_release_that_may_not_be_run_any_more_is_passed_over(sold, buyer, busy, caplog):
    busy(sold, buyer, 1, release_digest="0x" + "00" * 32)
    assert keys(1) == [] and "is not loaded beforehand" in caplog.text


def test_busiest_release_is_loaded_in_the_pool(sold, buyer, busy, settings):
    settings.WARM_RELEASES, settings.SANDBOX_SPARES = 1, 0
    job = busy(sold, buyer, 1)
    runner_pool_close()  # of the tests before
    try:
        assert warming.releases_warm() == 1
        assert list(runner_pool().pids()) == [execution._spec(job).key]
    finally:
        runner_pool_close()


def test_site_whose_runners_are_all_dedicated_loads_nothing_beforehand(sold, buyer, busy, settings):
    settings.WARM_RELEASES, settings.RUNNER_DEDICATED = 1, True
    busy(sold, buyer, 1)
    assert warming.releases_warm() == 0


@pytest.mark.parametrize("failure", [ModelUnloadableError("It does not load."), RuntimeError("a defect")])
def test_release_that_does_not_load_is_in_the_log_alone(sold, buyer, busy, settings, monkeypatch, caplog, failure):
    class Pool:
        def warm(self, spec):
            raise failure

    settings.WARM_RELEASES = 1
    busy(sold, buyer, 1)
    monkeypatch.setattr(warming, "runner_pool", Pool)
    monkeypatch.setattr(warming.connection, "close", lambda: None)
    warming.releases_warm_in_background()
    assert "beforehand" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_worker_loads_at_its_start_what_ran_before_and_its_first_job_needs_no_load(sell, buyer, celery_worker):
    sold = sell()
    before = create(sold, buyer)
    Job.objects.filter(pk=before.pk).update(state="succeeded")
    worker = celery_worker(queues="inference", env={"WEIGHHOUSE_WARM_RELEASES": "1"})
    worker.wait_for_output("1 releases are loaded before a job asks for them", timeout_s=120)
    job = wait_for(create(sold, buyer), "succeeded", "failed")
    assert (job.state, job.timings["load_s"]) == ("succeeded", 0)
