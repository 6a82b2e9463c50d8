"""Running a model from its page, and the job's page."""

import uuid

import pytest
from rest_framework.throttling import SimpleRateThrottle

from marketplace.accounts.models import Account
from marketplace.inference import services
from marketplace.inference.models import Job
from marketplace.inference.receipts.keys import worker_key_create
from marketplace.inference.selectors import job_request
from marketplace.licences.services import licences_usable
from models_registry.runtime.specs import RunResult

FORM = {"inputs": "A sentence.", "pooling": "mean", "normalise": "on", "truncate": "on"}
FRAGMENT = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def run(signed_in, listed, broker):
    """`run(account, **changes)`: send the form of the model's page."""

    def send(account: Account, *, fragment: bool = False, **changes: str):
        extra = FRAGMENT if fragment else {}
        return signed_in(account).post(f"{listed.url}run/", FORM | {"nonce": uuid.uuid4().hex} | changes, **extra)

    return send


def finish(job: Job, outputs: list[object]) -> None:
    """Do what a worker does after its run."""
    claimed = services.job_claim(job_id=job.pk)
    licence = licences_usable(holder=job.account.address, model_id=job.model_id)[0]
    fingerprint = {"dtype": "float32", "isolation": "bwrap"}
    result = RunResult(outputs=outputs, fingerprint=fingerprint, timings={}, usage={})
    assert services.job_succeed(job=claimed, result=result, licence=licence)


def test_run_with_a_licence_becomes_a_job(run, holder, listed):
    response = run(holder)
    job = Job.objects.get()
    assert response.url == f"/jobs/{job.pk}/"
    assert (job.account, job.model_id, job.state) == (holder, listed.model_id, "queued")


def test_run_without_a_licence_is_refused_on_the_page(run, outsider, read):
    response = run(outsider)
    assert response.status_code == 403
    assert "holds no licence of model" in read(response).text
    assert not Job.objects.exists()


def test_run_without_a_licence_is_refused_in_the_fragment_too(run, outsider, read):
    response = run(outsider, fragment=True)
    assert response.status_code == 403
    assert "licence.none" in read(response).text
    assert "<html" not in response.content.decode()


def test_run_under_a_foreign_licence_is_refused(run, holder, outsider, listed, read):
    licence = listed.market.buy(listed.plan_id)
    response = run(outsider, licence=str(licence))
    assert response.status_code == 403
    assert "licence.foreign" in read(response).text


def test_run_for_anonymous_asks_to_sign_in(anonymous, listed):
    response = anonymous.post(f"{listed.url}run/", FORM)
    assert response.status_code == 302
    assert response.url.startswith("/sign-in/")


def test_run_sent_twice_from_one_page_is_one_job(run, holder):
    run(holder, nonce="the-same")
    run(holder, nonce="the-same")
    assert Job.objects.count() == 1


def test_run_in_a_runner_of_its_own_says_so_on_the_jobs_page(run, holder, signed_in, read):
    run(holder)
    run(holder, dedicated="on")
    shared, alone = Job.objects.order_by("created_at")
    assert (shared.isolation, alone.isolation) == ("shared", "dedicated")
    assert "shared with other buyers" in read(signed_in(holder).get(f"/jobs/{shared.pk}/")).text
    assert "of this licence alone" in read(signed_in(holder).get(f"/jobs/{alone.pk}/")).text


def test_owner_requires_dedicated_runners_and_the_page_says_so(
    run, holder, publisher, outsider, listed, signed_in, read, settings
):
    url, owner = f"{listed.url}isolation/", signed_in(publisher)
    assert signed_in(outsider).post(url, {"dedicated": "1"}).status_code == 404
    assert 'name="dedicated"' in signed_in(holder).get(listed.url).content.decode()
    assert owner.post(url, {"dedicated": "1"}).url == f"/my/models/#model-{listed.model_id}"
    page = signed_in(holder).get(listed.url)
    assert '<input type="hidden" name="dedicated" value="on">' in page.content.decode()
    assert "share no process with another licence" in read(page).text
    run(holder)
    assert Job.objects.get().isolation == "dedicated"
    assert "Leave it to the buyers" in read(owner.get("/my/models/")).text
    owner.post(url, {"dedicated": "0"})
    assert "Require a runner for each licence" in read(owner.get("/my/models/")).text
    settings.RUNNER_DEDICATED = True
    assert "On this site each licence has a runner of its own" in read(owner.get("/my/models/")).text


def test_run_fragment_leads_to_the_jobs_page_also_when_it_is_done(run, holder, signed_in, read):
    (poll,) = [tag["hx-get"] for _name, tag in read(run(holder, fragment=True)).tags if "hx-get" in tag]
    job = Job.objects.get()
    finish(job, [[1.0]])
    links = [tag["href"] for tag in read(signed_in(holder).get(poll)).all("a")]
    assert links == [f"/jobs/{job.pk}/"]


def test_run_fragment_brings_the_next_nonce(run, holder):
    html = run(holder, fragment=True, nonce="first").content.decode()
    assert 'id="run-nonce"' in html
    assert 'hx-swap-oob="true"' in html
    assert 'value="first"' not in html


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": " "}, "blank"),
        ({"inputs": "a\x00b"}, "Null characters are not allowed"),
        ({"inputs": "x" * 20_000}, "characters"),
        ({"pooling": "sum"}, "not one of the available choices"),
        ({"inputs": ""}, "required"),
    ],
)
def test_run_with_bad_input_is_refused_with_its_reason(run, holder, read, change, said):
    response = run(holder, **change)
    assert response.status_code == 422
    assert said in read(response).text
    assert not Job.objects.exists()


def test_run_with_each_line_makes_one_input_per_line(run, holder):
    run(holder, inputs="one\r\n\r\ntwo\r\n", each_line="on")
    assert job_request(Job.objects.get())["inputs"] == ["one", "two"]


def test_job_page_follows_an_open_job_and_shows_its_vector(run, holder, signed_in, read):
    run(holder)
    job = Job.objects.get()
    client = signed_in(holder)
    page = client.get(f"/jobs/{job.pk}/")
    assert "Waiting for a worker." in read(page).text
    (poll,) = [tag["hx-get"] for _name, tag in read(page).tags if "hx-get" in tag]
    assert client.get(poll).status_code == 204
    finish(job, [[3.0, 4.0]])
    done = client.get(poll)
    assert "A vector of 2 numbers, length 5.0000 ." in read(done).text
    assert "[3.0000, 4.0000]" in read(done).text
    assert "[3.0,4.0]" in done.content.decode()
    assert "hx-get" not in done.content.decode()


def test_job_page_leads_to_the_receipt_of_an_ended_job_or_says_that_there_is_none(run, holder, signed_in, read):
    run(holder)
    job = Job.objects.get()
    client = signed_in(holder)
    assert f"/api/v1/jobs/{job.pk}/receipt" not in client.get(f"/jobs/{job.pk}/").content.decode()
    finish(job, [[1.0]])
    assert "no worker key at the moment" in read(client.get(f"/jobs/{job.pk}/")).text
    worker_key_create()
    page = client.get(f"/jobs/{job.pk}/")
    links = [tag["href"] for _name, tag in read(page).tags if "/api/v1/" in tag.get("href", "")]
    assert links == [f"/api/v1/jobs/{job.pk}/receipt", f"/api/v1/jobs/{job.pk}/receipt/opening"]
    assert "not a proof of computation" in read(page).text
    assert "1 call, counted" in read(page).text, "the cost that the receipt repeats"
    assert client.get(links[0]).status_code == 200


def test_job_page_shows_what_ran_it(run, holder, signed_in, read):
    run(holder)
    finish(Job.objects.get(), [[1.0]])
    text = read(signed_in(holder).get(f"/jobs/{Job.objects.get().pk}/")).text
    assert "Isolation bwrap" in text


def test_job_of_somebody_else_is_not_found(run, holder, outsider, signed_in):
    run(holder)
    job = Job.objects.get()
    stranger = signed_in(outsider)
    assert stranger.get(f"/jobs/{job.pk}/").status_code == 404
    assert stranger.get(f"/jobs/{job.pk}/state/").status_code == 404
    assert stranger.post(f"/jobs/{job.pk}/cancel/").status_code == 404
    assert stranger.post(f"/jobs/{job.pk}/delete/").status_code == 404


def test_job_is_cancelled_from_its_page(run, holder, signed_in, read):
    run(holder)
    job = Job.objects.get()
    client = signed_in(holder)
    response = client.post(f"/jobs/{job.pk}/cancel/", **FRAGMENT)
    assert "Cancelled." in read(response).text
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert client.post(f"/jobs/{job.pk}/cancel/").status_code == 302


def test_job_payload_is_deleted_at_once_when_asked(run, holder, signed_in, read):
    run(holder)
    job = Job.objects.get()
    finish(job, [[1.0]])
    client = signed_in(holder)
    client.post(f"/jobs/{job.pk}/delete/")
    text = read(client.get(f"/jobs/{job.pk}/")).text
    assert "The result is no longer kept" in text
    assert "A sentence." not in text


def test_jobs_page_lists_own_jobs_alone(run, holder, outsider, signed_in, read):
    run(holder)
    assert "Scales" in read(signed_in(holder).get("/jobs/")).text
    assert "No jobs yet" in read(signed_in(outsider).get("/jobs/")).text


def test_run_beyond_the_rate_must_wait(run, holder, read, settings, monkeypatch):
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"job": "1/min"})
    assert run(holder).status_code == 302
    response = run(holder)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert Job.objects.count() == 1
