"""API keys that are bound to one licence, and caps of calls, exact whatever races for them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.accounts import key_calls
from marketplace.accounts.errors import ApiKeyCallsExhaustedError
from marketplace.accounts.models import ApiKey
from marketplace.accounts.services import api_key_authenticate, api_key_create
from marketplace.inference import services
from marketplace.inference.models import Job, LicenceUse
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db
RESULT = RunResult(outputs=[[0.5]], fingerprint={}, timings={}, usage={})


class Program:
    """Who has a key, and the key's row."""

    def __init__(self, sold, account, **terms) -> None:
        self.key, self.secret = api_key_create(account=account, name="a program", scopes=["run"], **terms)
        self.sold, self.client = sold, APIClient()
        self.client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.secret}")

    def post(self, inputs=("a",), *, path="/api/v1/jobs", **extra):
        body = {"model": str(self.sold.model_id), "inputs": list(inputs), **extra}
        headers = {"Idempotency-Key": extra.pop("key")} if "key" in extra else None
        body.pop("key", None)
        return self.client.post(path, body, format="json", headers=headers)

    def counts(self) -> tuple[int, int, int | None]:
        self.key.refresh_from_db()
        return self.key.calls_used, self.key.calls_reserved, self.key.calls_left


@pytest.fixture
def sold(sell):
    return sell(calls=100)


@pytest.fixture
def program(sold, buyer):
    return lambda **terms: Program(sold, buyer, **terms)


@pytest.fixture
def bound(program, sold):
    return lambda **terms: program(licence_id=sold.licence_id, **terms)


def code(response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def succeed(job_id: str) -> None:
    checked = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
    assert services.job_succeed(job=services.job_claim(job_id=job_id), result=RESULT, licence=checked)


def test_key_of_one_licence_runs_under_it_without_naming_it(bound, sold, buyer):
    second = sold.market.buy(sold.plan_id)
    sold.market.index()
    for licence_id in (sold.licence_id, second):
        job = Program(sold, buyer, licence_id=licence_id).post()
        assert (job.status_code, job.json()["licence"]) == (202, str(licence_id))
    assert code(bound().post(licence=str(second))) == (403, "key.other_licence")
    assert code(bound().post(trial=True)) == (403, "key.other_licence")
    assert Job.objects.count() == 2


def test_key_of_a_licence_that_its_account_no_longer_holds_is_refused(bound, sold, outsider):
    theirs = Program(sold, outsider, licence_id=sold.licence_id)
    assert code(theirs.post()) == (403, "licence.foreign")
    sold.market.cancel(sold.licence_id)
    assert code(bound().post()) == (403, "licence.cancelled")


def test_key_of_one_licence_sees_and_ends_its_own_jobs_alone(bound, program):
    one, other, owner = bound(), bound(), program()
    mine, theirs = one.post().json()["id"], other.post().json()["id"]
    listed = one.client.get("/api/v1/jobs").json()["results"]
    assert [job["id"] for job in listed] == [mine]
    for call in (
        one.client.get(f"/api/v1/jobs/{theirs}"),
        one.client.post(f"/api/v1/jobs/{theirs}/cancel"),
        one.client.delete(f"/api/v1/jobs/{theirs}/payload"),
    ):
        assert code(call) == (404, "job.not_found")
    assert Job.objects.get(pk=theirs).state == "queued"
    assert len(owner.client.get("/api/v1/jobs").json()["results"]) == 2
    assert one.client.post(f"/api/v1/jobs/{mine}/cancel").status_code == 200


def test_key_of_one_licence_does_not_get_anothers_job_by_its_idempotency_key(bound, program):
    first = program().post(key="guess").json()["id"]
    answer = bound().post(key="guess")
    assert code(answer) == (422, "job.idempotency_conflict")
    assert first not in answer.content.decode()


def test_key_of_one_licence_is_kept_from_what_is_about_the_whole_account(bound):
    key = bound()
    for path in ("/api/v1/licences", "/api/v1/orders", "/api/v1/webhooks"):
        assert code(key.client.get(path)) == (403, "key.other_licence")
    assert code(key.client.get("/api/v1/keys")) == (403, "key.scope_missing")


def test_key_with_a_cap_in_all_is_refused_beyond_it_and_gets_back_what_failed(program):
    key = program(calls_cap=3)
    first = key.post("ab").json()["id"]
    refused = key.post("ab")
    assert code(refused) == (403, "key.calls_exhausted")
    assert (refused.json()["left"], refused.json()["wanted"]) == (1, 2)
    assert (key.counts(), Job.objects.count(), LicenceUse.objects.get().reserved) == ((0, 2, 1), 1, 2)
    key.client.post(f"/api/v1/jobs/{first}/cancel")
    assert key.counts() == (0, 0, 3)
    succeed(key.post("abc").json()["id"])
    assert key.counts() == (3, 0, 0)
    assert code(key.post()) == (403, "key.calls_exhausted")


def test_key_with_a_cap_per_day_begins_anew_the_next_day(program, monkeypatch):
    key = program(calls_cap=2, calls_cap_per="day")
    kept = key.post("ab").json()["id"]
    assert code(key.post()) == (403, "key.calls_exhausted")
    tomorrow = timezone.now().date() + timedelta(days=1)
    monkeypatch.setattr(key_calls, "today", lambda: tomorrow)
    assert key.post().status_code == 202
    key.client.post(f"/api/v1/jobs/{kept}/cancel")
    key.key.refresh_from_db()
    assert (key.key.calls_of_day, key.key.calls_reserved) == (1, 1), "yesterday's call is not given back to today"
    monkeypatch.setattr(key_calls, "today", lambda: tomorrow - timedelta(days=1))
    key.post()
    assert code(key.post()) == (403, "key.calls_exhausted"), "a clock that runs behind opens no second day"


def test_key_past_its_date_is_refused_at_its_next_call(bound):
    old = bound(expires_at=timezone.now() + timedelta(hours=1))
    assert old.post().status_code == 202
    ApiKey.objects.filter(pk=old.key.pk).update(expires_at=timezone.now())
    assert code(old.post()) == (401, "key.expired")


def test_key_without_a_cap_has_its_spend_counted(program):
    key = program()
    succeed(key.post("ab").json()["id"])
    key.post("a")
    assert key.counts() == (2, 1, None)


def test_quote_by_a_key_says_what_the_key_has_left(program):
    key = program(calls_cap=5)
    answer = key.post("ab", path="/api/v1/jobs/quote").json()
    assert (answer["accepted"], answer["left"], answer["key_left"], key.counts()) == (True, 98, 3, (0, 0, 5))
    refused = key.post("abcdef", path="/api/v1/jobs/quote").json()
    assert (refused["accepted"], refused["error"]["code"]) == (False, "key.calls_exhausted")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("per", ["total", "day"])
def test_cap_of_a_key_is_exact_under_concurrency(buyer, per):
    row, _ = api_key_create(account=buyer, name="k", scopes=["run"], calls_cap=10, calls_cap_per=per)

    def reserve(_: int) -> bool:
        try:
            with transaction.atomic():
                key_calls.key_calls_reserve(key=row, calls=3)
            return True
        except ApiKeyCallsExhaustedError:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(reserve, range(24))).count(True) == 3
    row.refresh_from_db()
    assert (row.calls_reserved, row.calls_of_day, row.calls_left) == (9, 9, 1)


def test_cap_needs_a_number_and_a_period(buyer):
    for bad in ({"calls_cap": 0}, {"calls_cap": 1, "calls_cap_per": "week"}):
        with pytest.raises(ValueError, match="a cap is"):
            api_key_create(account=buyer, name="k", scopes=["run"], **bad)
    with pytest.raises(ValueError, match="scope run alone"):
        api_key_create(account=buyer, name="k", scopes=["run", "publish"], licence_id=1)
    row, _ = api_key_create(account=buyer, name="k", scopes=["run"])
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.filter(pk=row.pk).update(calls_cap=5)


def test_key_is_what_its_account_acts_by(buyer):
    row, secret = api_key_create(account=buyer, name="k", scopes=["run"])
    assert api_key_authenticate(key=secret).account.acting_key == row
    assert buyer.acting_key is None


def test_sub_key_is_made_by_a_session_and_shows_its_spend(sold, buyer, signed_in):
    browser = signed_in(buyer)

    def make(**terms):
        return browser.post("/api/v1/keys", {"name": "for Ann", **terms}, content_type="application/json")

    made = make(scopes=["run"], licence=str(sold.licence_id), calls_cap=5, calls_cap_per="day")
    assert (made.status_code, made.json()["licence"], made.json()["calls_left"]) == (201, str(sold.licence_id), 5)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made.json()['key']}")
    client.post("/api/v1/jobs", {"model": str(sold.model_id), "inputs": ["a", "b"]}, format="json")
    (shown,) = browser.get("/api/v1/keys").json()
    assert (shown["calls_used"], shown["calls_reserved"], shown["calls_left"]) == (0, 2, 3)
    assert code(make(scopes=["run", "publish"], licence="1")) == (400, "request.invalid")
    assert code(make(scopes=["run"], calls_cap=0)) == (400, "request.invalid")
    assert code(make(scopes=["run"], calls_cap_per="day")) == (400, "request.invalid")
