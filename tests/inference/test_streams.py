"""Following a job over HTTP: a real web process, a real worker, a real broker, real tiny models."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from marketplace.accounts.services import api_key_create
from marketplace.inference import services, streams
from marketplace.inference.errors import JobStreamsBusyError
from marketplace.inference.models import Job
from marketplace.inference.preferences import prefer_wait

pytestmark = pytest.mark.django_db(transaction=True)
SENTENCE = "a weigh house, once"


def bearer(account) -> dict[str, str]:
    _, key = api_key_create(account=account, name="a test", scopes=["run"])
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def generator(clean_broker, market, list_model, tiny_generator, buyer) -> int:
    """A model that writes, of which the buyer holds a licence of five calls."""
    model_id, _ = list_model(tiny_generator, "text-generation")
    market.buy(market.add_plan(model_id, calls=5))
    market.index()
    return model_id


@pytest.fixture
def job(generator, buyer) -> Job:
    return services.job_create(account=buyer, model_id=generator, inputs=SENTENCE)[0]


@contextmanager
def opened(url: str, **headers: str) -> Iterator[requests.Response]:
    with requests.get(url, headers=headers, stream=True, timeout=60) as response:
        yield response


def events_of(response: requests.Response) -> Iterator[dict[str, str]]:
    """Server-sent events as a client parses them."""
    event: dict[str, str] = {}
    for line in response.iter_lines(chunk_size=1, decode_unicode=True):
        if not line and event:
            if "data" in event:
                yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def test_events_follow_a_job_from_the_queue_to_its_result(start_web, celery_worker, job, buyer):
    web, headers = start_web(), bearer(buyer)
    url = f"{web.url}/api/v1/jobs/{job.pk}"
    with opened(f"{url}/events", **headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        found = events_of(response)
        assert json.loads(next(found)["data"])["state"] == "queued"
        celery_worker(queues="inference")
        rest = list(found)
    told = [(event["event"], json.loads(event["data"])) for event in rest]
    assert [data["state"] for kind, data in told if kind == "state"] == ["running"]
    assert told[-1] == ("end", {"state": "succeeded", "error": None})
    output = requests.get(url, headers=headers, timeout=30).json()["outputs"][0]["text"]
    texts = [data for kind, data in told if kind == "text"]
    assert output and "".join(data["text"] for data in texts) == output
    assert texts[0]["at"] == 0
    # Resumed in the middle: exactly what comes behind.
    with opened(f"{url}/events", **{**headers, "Last-Event-ID": rest[1]["id"]}) as response:
        assert list(events_of(response)) == rest[2:]
    with opened(f"{url}/events", **{**headers, "Last-Event-ID": rest[-1]["id"]}) as response:
        assert response.status_code == 204


def test_events_of_a_job_that_ended_long_ago_say_so_at_once(start_web, job, buyer, clean_broker):
    services.job_cancel(account=buyer, job_id=job.pk)
    with clean_broker.client() as client:
        client.flushall()
    with opened(f"{start_web().url}/api/v1/jobs/{job.pk}/events", **bearer(buyer)) as response:
        (end,) = events_of(response)
    assert end["event"] == "end" and "id" not in end
    assert json.loads(end["data"])["state"] == "cancelled"


def test_events_are_the_owners_alone(start_web, job, outsider):
    url = f"{start_web().url}/api/v1/jobs/{job.pk}/events"
    response = requests.get(url, headers={**bearer(outsider), "Accept": "text/event-stream"}, timeout=30)
    assert (response.status_code, response.json()["code"]) == (404, "job.not_found")
    assert requests.get(url, timeout=30).status_code == 401


@pytest.mark.parametrize("given", ["x", "1", "1-", "-1-1", f"{2**64}-0", "1-1-1", "\u0661-1"])
def test_events_behind_an_id_that_is_none_are_refused(job, buyer, with_key, given):
    response = with_key(buyer).get(f"/api/v1/jobs/{job.pk}/events", headers={"Last-Event-ID": given})
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid")


def test_stream_gives_its_place_back_when_the_client_goes(start_web, job, buyer):
    web = start_web(env={"WEIGHHOUSE_JOB_STREAMS_PER_ACCOUNT": "1"})
    url, headers = f"{web.url}/api/v1/jobs/{job.pk}/events", bearer(buyer)
    with opened(url, **headers) as first:
        next(events_of(first))
        refused = requests.get(url, headers=headers, timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (429, "job.too_many_streams")
        assert int(refused.headers["Retry-After"]) > 0
    # The job goes on and on; the place comes free because the reader left.
    for _ in range(200):
        with opened(url, **headers) as again:
            if again.status_code == 200:
                assert json.loads(next(events_of(again))["data"])["state"] == "queued"
                return
        time.sleep(0.1)
    pytest.fail("the place of a reader who left was not given back")


def test_streams_that_are_all_taken_leave_the_rest_of_the_site_alone(start_web, job, buyer):
    env = {"WEIGHHOUSE_JOB_STREAMS_PER_PROCESS": "6"}
    web = start_web(env=env, threads=7)
    url, headers = f"{web.url}/api/v1/jobs/{job.pk}", bearer(buyer)
    with opened(f"{url}/events", **headers), opened(f"{url}/events", **headers), opened(f"{url}/events", **headers):
        assert requests.get(f"{url}/events", headers=headers, timeout=30).status_code == 429
        assert requests.get(url, headers=headers, timeout=30).json()["state"] == "queued"


def test_places_are_counted_per_account_and_per_process_and_given_back_once(settings):
    settings.JOB_STREAMS_PER_ACCOUNT, settings.JOB_STREAMS_PER_PROCESS = 2, 3
    slots = [streams.slot_take("a"), streams.slot_take("a")]
    with pytest.raises(JobStreamsBusyError, match="This account has 2"):
        streams.slot_take("a")
    slots.append(streams.slot_take("b"))
    with pytest.raises(JobStreamsBusyError, match="as this site serves"):
        streams.slot_take("c")
    slots[0].release()
    slots[0].release()
    forgotten = streams.Stream(iter(()), slots.pop(1))
    del forgotten  # never begun, never closed
    assert streams.slots_taken() == 1
    for slot in slots:
        slot.release()
    assert streams.slots_taken() == 0


def test_peer_that_reads_nothing_is_given_up_and_one_that_left_is_noticed(monkeypatch):
    monkeypatch.setattr(streams, "UNREAD_S", 1)
    ours, theirs = socket.socketpair()
    with ours:
        peer = streams.Peer({"gunicorn.socket": ours})
        assert not peer.is_gone()
        with pytest.raises(BlockingIOError):
            ours.sendall(b"x" * 64 * 1024**2)
        theirs.send(b"the next request")
        assert not peer.is_gone()
        ours.recv(100)
        theirs.close()
        assert peer.is_gone()
    assert peer.is_gone()
    assert not streams.Peer({}).is_gone()


def test_job_created_with_a_wish_to_wait_is_answered_with_its_result(start_web, celery_worker, generator, buyer):
    celery_worker(queues="inference")
    url, headers = f"{start_web().url}/api/v1/jobs", {**bearer(buyer), "Idempotency-Key": "one"}
    body = {"model": str(generator), "inputs": SENTENCE}
    response = requests.post(url, json=body, headers={**headers, "Prefer": "wait=60"}, timeout=90)
    assert (response.status_code, response.headers["Preference-Applied"]) == (201, "wait=60"), response.text
    assert response.json()["state"] == "succeeded" and response.json()["outputs"][0]["text"]
    assert "Retry-After" not in response.headers
    again = requests.post(url, json=body, headers={**headers, "Prefer": "respond-async, wait=60"}, timeout=90)
    assert (again.status_code, again.json()["id"]) == (200, response.json()["id"])


def test_job_that_stores_nothing_gives_its_result_to_who_waited_and_to_nobody_else(
    start_web, celery_worker, generator, buyer, clean_broker
):
    celery_worker(queues="inference")
    url, headers = f"{start_web().url}/api/v1/jobs", {**bearer(buyer), "Idempotency-Key": "one"}
    body = {"model": str(generator), "inputs": SENTENCE, "store": False}
    first, again = (
        requests.post(url, json=body, headers={**headers, "Prefer": "wait=60"}, timeout=90).json() for _ in range(2)
    )
    assert first["outputs"][0]["text"] and first["payload_until"] is None
    # The salts of the receipt, which are kept no longer than what they open.
    assert first["input_salt"] and first["output_salt"]
    assert (again["input_salt"], again["output_salt"]) == ("", "")
    assert (again["id"], again["state"], again["outputs"]) == (first["id"], "succeeded", None)
    job_url = f"{url}/{first['id']}"
    assert requests.get(job_url, headers=headers, timeout=30).json()["outputs"] is None
    with clean_broker.client() as client:
        assert client.keys("*job-events*") == []
    with opened(f"{job_url}/events", **headers) as response:
        assert [event["event"] for event in events_of(response)] == ["end"]


def test_job_that_does_not_end_in_the_time_of_the_wish_is_answered_as_accepted(with_key, generator, buyer, settings):
    send = {"path": "/api/v1/jobs", "data": {"model": str(generator), "inputs": SENTENCE}, "format": "json"}
    response = with_key(buyer).post(**send, headers={"Prefer": "wait=1"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=1")
    assert response.json()["state"] == "queued"
    settings.JOB_STREAMS_PER_ACCOUNT = 0
    response = with_key(buyer).post(**send, headers={"Prefer": "wait=1"})
    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('respond-async, wait="7"; x=1, wait=9', 7),
        ("wait=99999", 60),
        ("wait", None),
        ("wait=-1", None),
        ("wait=\u0661", None),
        ("await=5", None),
    ],
)
def test_wish_to_wait_is_read_as_the_standard_says(header, seconds):
    assert prefer_wait(header) == seconds


def test_requests_that_only_follow_leave_half_of_the_places_to_those_that_make_a_job(settings):
    settings.JOB_STREAMS_PER_ACCOUNT, settings.JOB_STREAMS_PER_PROCESS = 4, 4
    slots = [streams.slot_take("a", follows=True), streams.slot_take("a", follows=True)]
    with pytest.raises(JobStreamsBusyError, match="as this site serves"):
        streams.slot_take("b", follows=True)
    slots += [streams.slot_take("b"), streams.slot_take("b")]
    slots.pop(0).release()
    slots.append(streams.slot_take("b", follows=True))
    for slot in slots:
        slot.release()
    assert streams.slots_taken() == 0
