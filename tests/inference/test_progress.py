"""Text on its way: told in pieces by a worker, put together by whoever reads it, and never more than the result."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from marketplace.inference import events, execution, services, streams
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.models import CallEntry, Job, JobPayload
from marketplace.inference.openai_api.errors import JobFailedError, JobTextDiffersError
from marketplace.inference.openai_api.running import Piece, Result, Silence, job_follow, job_result
from marketplace.inference.progress import MOST_CHARS, TextTeller
from models_registry.runtime.errors import RunnerDeadlineError
from models_registry.runtime.specs import RunResult

pytestmark = pytest.mark.django_db(transaction=True)
NOBODY = streams.Peer({})
LICENCE = type("Checked", (), {"block_number": 1, "block_hash": "0x"})


@pytest.fixture
def job(clean_broker, market, list_model, tiny_generator, buyer) -> Job:
    """A job that a worker holds."""
    model_id, _ = list_model(tiny_generator, "text-generation")
    market.buy(market.add_plan(model_id, calls=5))
    market.index()
    made, _ = services.job_create(account=buyer, model_id=model_id, inputs=["once", "upon"])
    claimed = services.job_claim(job_id=made.pk)
    assert claimed is not None
    return claimed


def finish(job: Job, *texts: str) -> None:
    outputs = [{"text": text, "finish_reason": "stop", "output_tokens": 1} for text in texts]
    usage = {"input_tokens": 2, "output_tokens": 2}
    result = RunResult(outputs=outputs, fingerprint={}, timings={}, usage=usage)
    assert services.job_succeed(job=job, result=result, licence=LICENCE)


def told(job: Job) -> list[dict]:
    return [event.data for event in events.job_events_read(job.pk) if event.kind == "text"]


def followed(job: Job) -> list[str]:
    """What a reader gets of each input, and the result at the end."""
    items = list(job_follow(job, peer=NOBODY))
    assert isinstance(items[-1], Result)
    texts = ["", ""]
    for item in items:
        if isinstance(item, Piece):
            texts[item.position] += item.text
    return texts


def test_pieces_of_a_worker_are_told_in_order_with_their_places(job):
    tell = TextTeller(job)
    for piece in ("a", "b", "", "c" * 3000, "d"):
        tell(0, piece)
    tell(1, "x")
    tell.close()
    tell.close()
    found = told(job)
    assert found[0] == {"attempt": 1, "position": 0, "at": 0, "text": "a"}
    for position, text in enumerate(["ab" + "c" * 3000 + "d", "x"]):
        of_one = [data for data in found if data["position"] == position]
        assert "".join(data["text"] for data in of_one) == text
        assert [data["at"] for data in of_one] == [text.index(data["text"]) for data in of_one]
    # Faster than anybody reads: together.
    assert len(found) < 6


def test_pieces_that_are_no_text_are_told_as_the_result_has_them(job):
    tell = TextTeller(job)
    tell(0, "a\0\ud800")
    tell.close()
    assert [data["text"] for data in told(job)] == ["a\ufffd?"]


def test_flood_of_text_is_told_up_to_a_bound(job):
    tell = TextTeller(job)
    for _ in range(40):
        tell(0, "f" * 100_000)
    tell.close()
    assert MOST_CHARS <= sum(len(data["text"]) for data in told(job)) < MOST_CHARS + 100_000


def test_reader_gets_each_character_once_though_pieces_are_lost_doubled_and_told_again(job):
    def tell(attempt: int, position: int, at: int, text: str) -> None:
        data = {"attempt": attempt, "position": position, "at": at, "text": text}
        events.job_event_add(job.pk, events.TEXT, data)

    tell(1, 0, 0, "once ")
    tell(1, 0, 0, "once ")
    tell(1, 1, 3, "lost its beginning")
    tell(2, 0, 0, "once upon")
    tell(2, 0, 20, "beyond a gap")
    finish(job, "once upon a time", "so it lost its beginning")
    assert followed(job) == ["once upon a time", "so it lost its beginning"]


def test_reader_without_a_broker_gets_the_whole_text_at_the_end(job, settings):
    finish(job, "once upon a time", "x")
    settings.BROKER_URL = "redis://127.0.0.1:9/0"
    assert followed(job) == ["once upon a time", "x"]


def test_reader_of_a_text_that_the_result_has_not_is_told_so(job):
    events.job_event_add(job.pk, events.TEXT, {"attempt": 1, "position": 0, "at": 0, "text": "never"})
    finish(job, "once", "x")
    items = job_follow(job, peer=NOBODY)
    assert next(items) == Piece(0, "never")
    with pytest.raises(JobTextDiffersError, match=str(job.pk)):
        list(items)


def test_reader_of_a_job_that_stores_nothing_is_the_only_one_to_get_its_text(job):
    Job.objects.update(store=False)
    job.refresh_from_db()
    events.job_event_add(job.pk, events.TEXT, {"attempt": 1, "position": 0, "at": 0, "text": "once"})
    finish(job, "once upon a time", "x")
    assert followed(job) == ["once upon a time", "x"]
    assert [event.kind for event in events.job_events_read(job.pk)] == ["end"]
    with pytest.raises(JobPayloadDeletedError):
        list(job_follow(job, peer=NOBODY))
    with pytest.raises(JobPayloadDeletedError):
        job_result(job, peer=NOBODY)


def test_reader_of_a_job_that_failed_or_whose_result_is_gone_is_told_so(job):
    other = Job.objects.get(pk=job.pk)
    finish(job, "once", "x")
    JobPayload.objects.all().delete()
    with pytest.raises(JobPayloadDeletedError):
        job_result(other, peer=NOBODY)
    Job.objects.update(state="failed", error={"code": "runner.deadline", "message": "Too slow.", "retryable": False})
    with pytest.raises(JobFailedError, match="Too slow") as failed:
        job_result(other, peer=NOBODY)
    assert failed.value.code == "runner.deadline"


@pytest.mark.parametrize("was_told", [False, True], ids=["before the text", "within the text"])
def test_reader_who_leaves_gives_the_job_up_unless_text_was_on_its_way(job, was_told):
    if was_told:
        events.job_event_add(job.pk, events.TEXT, {"attempt": 1, "position": 0, "at": 0, "text": "once"})
    items = job_follow(job, peer=NOBODY)
    assert next(items) == (Piece(0, "once") if was_told else Silence())
    items.close()  # as the server does whose write failed
    job.refresh_from_db()
    assert job.state == ("running" if was_told else "cancelled")


def test_reader_who_is_gone_before_the_text_gives_the_job_up(job):
    class Gone(streams.Peer):
        def is_gone(self) -> bool:
            return True

    assert list(job_follow(job, peer=Gone({}))) == []
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_job_cancelled_while_a_worker_has_it_is_noticed_by_the_worker(job):
    with execution.LeaseKeeper(job) as keeper:
        services.job_cancel(account=job.account, job_id=job.pk)
        assert keeper.lost.wait(30)
    with execution.LeaseKeeper(Job(pk=job.pk, lease_token=job.lease_token)) as keeper:
        assert keeper.lost.wait(30)  # cancelled before it began


def test_nothing_is_told_of_a_run_before_it_is_told_that_the_job_runs(job, monkeypatch):
    told = []

    def running_tell(_job):
        time.sleep(0.2)
        told.append("running")

    monkeypatch.setattr(services, "job_running_tell", running_tell)
    monkeypatch.setattr(execution.events, "job_event_add", lambda _id, kind, _data: told.append(kind))
    with execution.LeaseKeeper(job) as keeper:
        TextTeller(job, after=keeper.told_wait)(0, "goods")
    assert told == ["running", "text"]


def test_lease_is_kept_where_it_cannot_be_told_that_the_job_runs(job, monkeypatch):
    def running_tell(_job):
        raise RuntimeError("a defect")

    monkeypatch.setattr(services, "job_running_tell", running_tell)
    with execution.LeaseKeeper(job) as keeper:
        keeper.told_wait()
        services.job_cancel(account=job.account, job_id=job.pk)
        assert keeper.lost.wait(30)


def test_run_of_a_job_that_was_cancelled_stops_and_changes_nothing(job, monkeypatch):
    """The model would write for as long as it may; the run ends because nobody wants it."""
    ended = []

    def run(*_arguments, cancelled, **_keywords):
        services.job_cancel(account=job.account, job_id=job.pk)
        assert cancelled.wait(30)
        ended.append(True)
        raise execution.RunnerError("The run was cancelled.")

    Job.objects.filter(pk=job.pk).update(state="queued", lease_token=None)
    monkeypatch.setattr(execution, "runner_pool", lambda: type("Pool", (), {"run": staticmethod(run)}))
    assert execution.job_run(job_id=job.pk) is False
    job.refresh_from_db()
    assert (ended, job.state, job.error["code"]) == ([True], "cancelled", "job.cancelled")
    assert CallEntry.objects.get().state == "released"


@pytest.mark.django_db
def test_text_is_told_no_more_after_many_jobs_that_failed_once_it_was(sell, buyer, outsider, settings):
    settings.JOB_MAX_CANCELLED_RUNNING = 2
    sold = sell(calls=10)
    for number in range(3):
        assert services.text_may_be_told(account_id=buyer.pk) == (number < 2)
        job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
        claimed = services.job_claim(job_id=job.pk)
        services.job_fail(job=claimed, error=RunnerDeadlineError("Too late.", text_told=True))
    assert services.text_may_be_told(account_id=outsider.pk)
    Job.objects.update(finished_at=timezone.now() - timedelta(hours=2))
    assert services.text_may_be_told(account_id=buyer.pk)
