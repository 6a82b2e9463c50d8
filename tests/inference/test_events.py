"""What is told about a job: encrypted, bounded, resumable, and never needed, since the database has the truth."""

import threading
import time
import uuid

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from marketplace.inference import events, services
from marketplace.inference.errors import JobCancelLimitError
from marketplace.inference.event_broker import EventBroker
from marketplace.inference.models import Job
from tests.fixtures.processes import start_broker
from tools.demo.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(clean_broker, sell, buyer) -> Job:
    return services.job_create(account=buyer, model_id=sell(calls=3).model_id, inputs="the weigh house")[0]


@pytest.fixture
def own_broker(settings, process_logs, tmp_path):
    """A broker of this test's own, which it may stop, stall and start again."""
    port = free_port()
    settings.BROKER_URL = f"redis://127.0.0.1:{port}/0"
    started = []

    def start():
        started.append(start_broker(port=port, directory=process_logs, cwd=tmp_path))
        return started[-1]

    yield start
    for spawned in started:
        spawned.stop()


def kinds(found: list[events.JobEvent]) -> list[str]:
    return [event.kind for event in found]


def test_events_of_a_job_are_told_in_order_and_resumed_behind_each(job):
    claimed = services.job_claim(job_id=job.pk)
    services.job_running_tell(claimed)
    events.job_event_add(job.pk, events.TEXT, {"text": "goods"})
    services.job_cancel(account=job.account, job_id=claimed.pk)
    found = events.job_events_read(job.pk)
    assert kinds(found) == ["state", "state", "text", "end"]
    assert [event.data.get("state") for event in found] == ["queued", "running", None, "cancelled"]
    assert found[-1].data["error"]["code"] == "job.cancelled"
    for place, event in enumerate(found[:-1]):
        assert events.job_events_read(job.pk, event.id) == found[place + 1 :]


def test_events_that_a_transaction_takes_back_are_not_told(job, settings):
    services.job_running_tell(services.job_claim(job_id=job.pk))
    settings.JOB_MAX_CANCELLED_RUNNING = 0
    with pytest.raises(JobCancelLimitError):
        services.job_cancel(account=job.account, job_id=job.pk)
    assert kinds(events.job_events_read(job.pk)) == ["state", "state"]


def test_events_in_the_broker_hold_nothing_that_can_be_read(job, clean_broker):
    events.job_event_add(job.pk, events.TEXT, {"text": "a planted prompt"})
    with clean_broker.client() as client:
        (key,) = client.keys("weighhouse:job-events:*")
        entries = client.xrange(key)
        assert 0 < client.ttl(key) <= 3600
    assert entries
    assert all(set(fields) == {b"e"} and fields[b"e"].startswith(b"gAAAA") for _, fields in entries)


def test_events_of_another_job_or_under_another_key_are_left_out(job, clean_broker, settings):
    events.job_event_add(job.pk, events.TEXT, {"text": "mine"})
    other = uuid.uuid4()
    with clean_broker.client() as client:
        for _, fields in client.xrange(f"weighhouse:job-events:{job.pk}"):
            client.xadd(f"weighhouse:job-events:{other}", fields)
        client.xadd(f"weighhouse:job-events:{job.pk}", {"e": "nonsense"})
        client.xadd(f"weighhouse:job-events:{job.pk}", {"x": "nonsense"})
    assert kinds(events.job_events_read(job.pk)) == ["state", "text"]
    assert kinds(events.job_events_read(other)) == ["end"]  # there is no such job, and nothing of it that can be read
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    assert events.job_events_read(job.pk, wait_s=0.1) == []


def test_events_of_one_job_are_bounded_in_number(job, clean_broker, monkeypatch):
    monkeypatch.setattr(events, "MOST_ENTRIES", 50)
    for number in range(500):
        events.job_event_add(job.pk, events.TEXT, {"text": str(number)})
    with clean_broker.client() as client:
        assert client.xlen(f"weighhouse:job-events:{job.pk}") < 250
    assert events.job_events_read(job.pk)[-1].data["text"] == "499"


def test_text_told_after_the_events_were_deleted_does_not_bring_them_back(job, clean_broker):
    services.job_cancel(account=job.account, job_id=job.pk)
    services.job_payload_delete(account=job.account, job_id=job.pk)
    events.job_event_add(job.pk, events.TEXT, {"text": "too late"})
    with clean_broker.client() as client:
        assert client.keys("weighhouse:job-events:*") == []


def test_who_waits_for_the_end_is_woken_by_it(job, monkeypatch):
    asked = threading.Event()
    # A database that never says so: only the stream can.
    monkeypatch.setattr(events, "_ended", lambda _job_id: asked.set())
    ended = []
    waiting = in_thread(lambda: ended.append(events.job_ended_wait(job.pk, 30)))
    assert asked.wait(30)
    services.job_cancel(account=job.account, job_id=job.pk)
    waiting.join(60)
    assert ended == [True]


def test_who_waits_in_vain_is_told_so(job):
    assert events.job_ended_wait(job.pk, 0.1) is False


def test_who_waits_without_a_broker_reads_the_end_in_the_database(job, settings):
    settings.BROKER_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert events.job_events_read(job.pk, wait_s=0.1) == []
    services.job_cancel(account=job.account, job_id=job.pk)
    (end,) = events.job_events_read(job.pk, wait_s=30)
    assert (end.id, end.kind, end.data["state"]) == ("", "end", "cancelled")
    assert events.job_ended_wait(job.pk, 30) is True


def test_who_waits_while_the_broker_starts_again_hears_what_comes_after(job, own_broker):
    broker = own_broker()
    events.job_event_add(job.pk, events.STATE, {"state": "queued"})
    seen: list[events.JobEvent] = []

    def follow() -> None:
        for found in events.job_events_follow(job.pk, beat_s=1, until=time.monotonic() + 60):
            seen.extend(found)

    following = in_thread(follow)
    while not seen:
        time.sleep(0.01)
    broker.kill()
    own_broker()
    services.job_claim(job_id=job.pk)
    services.job_cancel(account=job.account, job_id=job.pk)
    following.join(60)
    assert not following.is_alive()
    assert seen[-1].kind == "end" and seen[-1].data["state"] == "cancelled"


def test_a_broker_that_says_nothing_holds_up_neither_worker_nor_waiter(job, own_broker):
    broker = own_broker()
    silent = EventBroker(events.settings.BROKER_URL)
    broker.process.send_signal(19)
    try:
        for _ in range(20):
            silent.add("k", b"x", only_if_there=False, most=1, ttl_s=1)
        assert silent.read("k", "0-0", wait_s=2) is None
        services.job_cancel(account=job.account, job_id=job.pk)
        assert events.job_ended_wait(job.pk, 30) is True
    finally:
        broker.process.send_signal(18)


def in_thread(action) -> threading.Thread:
    def run() -> None:
        try:
            action()
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
