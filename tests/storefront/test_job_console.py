"""The job console: filters, pages, input and output while kept, errors in words, retry. All of it without scripts."""

from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace.inference import services
from marketplace.inference.models import Job, JobPayload
from marketplace.inference.selectors import job_request
from models_registry.runtime.errors import RunnerCrashedError
from models_registry.runtime.specs import RunResult

CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})


@pytest.fixture
def create(holder, listed, broker):
    def make(inputs="A sentence.", **extra) -> Job:
        return services.job_create(account=holder, model_id=listed.model_id, inputs=inputs, **extra)[0]

    return make


@pytest.fixture
def page(holder, signed_in, read):
    return lambda url: read(signed_in(holder).get(url))


def finish(job: Job) -> None:
    outputs, fingerprint = [[3.0, 4.0]] * job.input_count, {"dedicated": False}
    result = RunResult(outputs=outputs, fingerprint=fingerprint, timings={}, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)


def shown(found) -> list[str]:
    return [
        tag["href"].split("/")[2]
        for tag in found.all("a")
        if tag.get("class") == "mono" and tag["href"][:6] == "/jobs/"
    ]


def test_console_shows_state_cost_and_the_error_in_words(create, page):
    finish(create())
    failed = create()
    error = RunnerCrashedError("The sandbox ended without an answer.", log="secret log line")
    services.job_fail(job=services.job_claim(job_id=failed.pk), error=error)
    text = page("/jobs/").text
    assert "The sandbox ended without an answer. runner.crashed" in text
    assert "counted" in text and "not counted" in text
    assert "secret log line" not in text
    assert "secret log line" not in page(f"/jobs/{failed.pk}/").text


def test_console_is_filtered(create, page, listed):
    done, waiting = create(), create()
    finish(done)
    assert shown(page("/jobs/?state=succeeded")) == [str(done.pk)]
    assert shown(page("/jobs/?state=queued")) == [str(waiting.pk)]
    assert len(shown(page(f"/jobs/?model={listed.model_id}"))) == 2
    assert "No such jobs" in page(f"/jobs/?model={listed.model_id + 1}").text
    assert "No such jobs" in page("/jobs/?task=text-generation").text
    today, tomorrow = timezone.now().date(), timezone.now().date() + timedelta(days=1)
    assert len(shown(page(f"/jobs/?since={today}&until={today}"))) == 2
    assert "No such jobs" in page(f"/jobs/?since={tomorrow}").text


@pytest.mark.parametrize("query", ["state=x", "model=-1", "since=2026-99-99", "cursor=garbage", "batch=1", "task=%00"])
def test_console_with_a_filter_that_is_none_is_still_a_page(create, page, query):
    job = create()
    assert str(job.pk) in shown(page(f"/jobs/?{query}"))


def test_console_pages_keep_the_filter_and_show_each_job_once(create, page, holder, listed, settings):
    settings.JOB_MAX_OPEN_PER_LICENCE = settings.JOB_MAX_OPEN_PER_ACCOUNT = 100
    for _ in range(35):
        create()
    Job.objects.update(created_at=timezone.now())
    found, seen, url = None, [], "/jobs/?state=queued"
    while url:
        found = page(url)
        seen += shown(found)
        url = next(
            ("/jobs/" + tag["href"].removeprefix("/jobs/") for tag in found.all("a") if tag.get("rel") == "next"), ""
        )
        assert not url or "state=queued" in url
    assert len(seen) == len(set(seen)) == 35


def test_job_page_shows_input_and_output_while_they_are_kept(create, page):
    job = create(inputs=["first input", "second <b>input</b>"])
    finish(job)
    text = page(f"/jobs/{job.pk}/").text
    assert "second <b>input</b>" in text and "A vector of 2 numbers" in text
    JobPayload.objects.all().delete()
    text = page(f"/jobs/{job.pk}/").text
    assert "first input" not in text and "The result is no longer kept" in text


def test_job_page_says_what_ran_it_in_words(create, page):
    job = create()
    finish(job)
    assert "Dedicated no" in page(f"/jobs/{job.pk}/").text


def test_job_page_does_not_use_up_what_is_handed_out_once(create, page):
    job = create(store=False)
    finish(job)
    assert "This job keeps nothing" in page(f"/jobs/{job.pk}/").text
    assert services.job_hand_out(Job.objects.get(pk=job.pk)).outputs == [[3.0, 4.0]]


def test_job_is_run_again_from_its_page_once_however_often_the_form_is_sent(create, page, holder, signed_in):
    job = create(inputs=["one", "two"])
    finish(job)
    found = page(f"/jobs/{job.pk}/")
    (form,) = [tag for tag in found.all("form") if tag["action"].endswith("/retry/")]
    (nonce,) = [tag["value"] for tag in found.all("input") if tag["name"] == "nonce"]
    client = signed_in(holder)
    first, again = (client.post(form["action"], {"nonce": nonce}) for _ in range(2))
    assert (first.status_code, first.url) == (302, again.url)
    assert Job.objects.count() == 2
    assert job_request(Job.objects.exclude(pk=job.pk).get())["inputs"] == ["one", "two"]


def test_job_of_somebody_else_is_not_run_again(create, outsider, signed_in):
    job = create()
    finish(job)
    assert signed_in(outsider).post(f"/jobs/{job.pk}/retry/").status_code == 404
    assert Job.objects.count() == 1


def test_job_is_cancelled_by_a_form_that_needs_no_script(create, page, holder, signed_in):
    job = create()
    (form,) = [tag for tag in page(f"/jobs/{job.pk}/").all("form") if tag["action"].endswith("/cancel/")]
    assert form["method"] == "post"
    signed_in(holder).post(form["action"])
    job.refresh_from_db()
    assert job.state == "cancelled"
