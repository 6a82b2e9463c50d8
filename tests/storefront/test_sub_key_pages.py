"""Sub-keys on the keys page, quotes and pace on the pages of models and licences."""

import pytest

from marketplace.accounts.models import ApiKey
from marketplace.inference import services
from marketplace.inference.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    return sell(calls=10)


def text(response) -> str:
    return response.content.decode()


def test_keys_page_makes_a_key_for_one_licence_with_a_cap_and_shows_its_spend(sold, buyer, signed_in):
    browser = signed_in(buyer)
    page = text(browser.get("/keys/"))
    assert f'<option value="{sold.licence_id}">A model, licence {sold.licence_id}</option>' in page
    form = {
        "name": "for Ann",
        "scopes": ["run"],
        "licence": str(sold.licence_id),
        "calls_cap": "5",
        "calls_cap_per": "day",
    }
    assert "Your new key" in text(browser.post("/keys/", form))
    key = ApiKey.objects.get()
    assert (key.licence_id, key.calls_cap, key.calls_cap_per) == (sold.licence_id, 5, "day")
    buyer.acting_key = key
    services.job_create(account=buyer, model_id=sold.model_id, inputs=["a", "b"])
    shown = text(browser.get("/keys/"))
    assert "0 used, 2 under way" in shown and "3 left of 5 per day" in shown
    assert f"/licences/{sold.licence_id}/" in shown
    browser.post(f"/keys/{key.prefix}/revoke/")
    key.refresh_from_db()
    assert not key.is_usable


@pytest.mark.parametrize("wrong", [{"scopes": ["publish", "run"]}, {"licence": "17"}, {"calls_cap": "0"}])
def test_keys_page_refuses_a_sub_key_that_makes_no_sense(sold, buyer, signed_in, wrong):
    form = {"name": "k", "scopes": ["run"], "licence": str(sold.licence_id), "calls_cap": "5", **wrong}
    assert signed_in(buyer).post("/keys/", form).status_code == 422
    assert not ApiKey.objects.exists()


def test_run_page_says_what_a_run_would_cost_and_runs_nothing(sold, buyer, signed_in):
    browser = signed_in(buyer)
    assert "What will it cost?" in text(browser.get(f"/models/{sold.model_id}/"))
    form = {"inputs": "one\ntwo", "each_line": "on", "licence": str(sold.licence_id)}
    url = f"/models/{sold.model_id}/run/quote/"
    fragment = text(browser.post(url, form, headers={"HX-Request": "true"}))
    assert f"2 calls under licence {sold.licence_id}: 8 left after it" in fragment and "<html" not in fragment
    assert "<html" in text(browser.post(url, form))
    many = {**form, "inputs": "a\n" * 11}
    assert "10 are left" in text(browser.post(url, many))
    assert not Job.objects.exists()


def test_licence_page_publishes_the_pace(sold, client):
    assert "600 calls in 60 s, 16 jobs at once" in text(client.get(f"/licences/{sold.licence_id}/"))


def test_job_page_shows_what_the_job_costs(sold, buyer, signed_in):
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a", "b"])
    assert "2 calls, reserved" in text(signed_in(buyer).get(f"/jobs/{job.pk}/"))
