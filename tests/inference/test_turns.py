"""Whose job a worker takes: a real queue of many jobs, claimed one after the other and by several at once."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from marketplace.accounts.models import Account
from marketplace.inference import execution, services, tasks
from marketplace.inference.models import AccountTurn, CallEntry, Job
from marketplace.inference.seats import Seats
from marketplace.inference.services import claiming, sweeping
from marketplace.inference.services.claiming import job_next
from models_registry.runtime.errors import RunnerBusyError

pytestmark = pytest.mark.django_db
START = timezone.now() - timedelta(minutes=5)


@pytest.fixture
def queue():
    """`queue(account, count)`: so many due jobs, each a second after the one before."""
    made = iter(range(10_000))

    def add(account: Account, count: int = 1, *, is_trial: bool = False) -> list[Job]:
        jobs = []
        for _ in range(count):
            number = next(made)
            job = Job.objects.create(
                account=account,
                model_id=1,
                licence_id=None if is_trial else 7,
                is_trial=is_trial,
                release_digest="0x",
                task="feature-extraction",
                checked_block_number=1,
                checked_block_hash="0x",
                start_before=timezone.now() + timedelta(hours=1),
                created_at=START + timedelta(seconds=number),
                request_mac="",
            )
            CallEntry.objects.create(job=job, licence_id=job.licence_id, purchase="", limit=0)
            jobs.append(job)
        return jobs

    return add


def end(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state="succeeded")


def served(count: int) -> list[Job]:
    """One worker takes a job, ends it, takes the next."""
    jobs = []
    for _ in range(count):
        job = services.job_claim_next()
        jobs.append(job)
        end(job)
    return jobs


def test_single_job_of_an_account_is_next_but_one_behind_anothers_flood(queue, buyer, outsider):
    queue(buyer, 50)
    (alone,) = queue(outsider)
    assert alone in served(2)


def test_single_worker_serves_accounts_in_turn_and_each_its_oldest_job_first(queue, buyer, outsider):
    flood, few = queue(buyer, 6), queue(outsider, 3)
    assert served(9) == [flood[0], few[0], flood[1], few[1], flood[2], few[2], *flood[3:]]


def test_account_with_the_fewest_running_jobs_is_next(queue, buyer, outsider, publisher):
    flood = queue(buyer, 10)
    running = [services.job_claim_next() for _ in range(3)]
    assert running == flood[:3]
    later, last = queue(outsider, 2), queue(publisher, 2)
    assert [services.job_claim_next() for _ in range(4)] == [later[0], last[0], later[1], last[1]]
    for job in running:
        end(job)
    assert services.job_claim_next() == flood[3]


def test_trial_is_never_taken_before_a_job_that_is_paid_for(queue, buyer, outsider):
    trials = queue(outsider, 3, is_trial=True)
    paid = queue(buyer, 5)
    assert served(8) == [*paid, *trials]


def test_job_that_is_not_due_or_too_late_is_nobodys_turn(queue, buyer, outsider):
    (waits, late), (due,) = queue(buyer, 2), queue(outsider)
    Job.objects.filter(pk=waits.pk).update(run_after=timezone.now() + timedelta(hours=1))
    Job.objects.filter(pk=late.pk).update(start_before=timezone.now())
    assert (services.job_claim_next(), services.job_claim_next()) == (due, None)


def test_turn_is_given_by_a_claim_that_names_its_job_too(queue, buyer, outsider):
    flood, (alone,) = queue(buyer, 3), queue(outsider)
    end(services.job_claim(job_id=flood[2].pk))
    assert AccountTurn.objects.get().account_id == buyer.pk
    assert job_next(timezone.now())[1] == alone.pk


def test_account_that_was_served_while_a_clock_was_ahead_has_its_turn(queue, buyer, outsider, clock):
    queue(buyer, 4)
    clock.ahead_s = 600
    end(services.job_claim_next())
    clock.ahead_s = 0
    queue(outsider, 4)
    assert Counter(job.account_id for job in served(6)) == {buyer.pk: 3, outsider.pk: 3}


def test_account_that_a_clock_a_second_ahead_served_was_served(queue, buyer, outsider, clock):
    _, second = queue(buyer, 2)
    clock.ahead_s = 1
    end(services.job_claim_next())
    clock.ahead_s = 0
    (alone,) = queue(outsider)
    assert served(2) == [alone, second]


@pytest.fixture
def sixteen(monkeypatch):
    """This process is a worker of sixteen threads. `sixteen` are the jobs whose tickets were sent since."""
    sent: list[uuid.UUID] = []
    monkeypatch.setattr(claiming, "worker_seats", Seats(16))
    monkeypatch.setattr(services, "job_enqueue", lambda *, job_id: sent.append(job_id))
    return sent


def test_account_leaves_a_thread_of_a_worker_to_another_account(queue, buyer, outsider, sixteen):
    queue(buyer, 20)
    flood = [job for _ in range(16) if (job := services.job_claim_next())]
    assert len(flood) == 12
    (alone,) = queue(outsider)
    assert services.job_claim_next() == alone
    assert services.job_claim_next() is None


def test_accounts_that_flood_a_worker_share_it_and_leave_one_thread(queue, buyer, outsider, publisher, sixteen):
    for account in (buyer, outsider, publisher):
        queue(account, 20)
    held = Counter(job.account_id for _ in range(16) if (job := services.job_claim_next()))
    assert sorted(held.values()) == [5, 5, 5]


def test_account_with_few_jobs_in_a_worker_loses_nothing(queue, buyer, sixteen):
    jobs = queue(buyer, 12)
    assert [services.job_claim_next() for _ in range(12)] == jobs
    assert not any(services.job_let_go(job=job) for job in jobs)


def test_job_that_was_passed_over_is_looked_for_when_another_ends_and_no_more_once_none_waits(queue, buyer, sixteen):
    jobs = queue(buyer, 14)
    first = [services.job_claim_next() for _ in range(12)]
    assert (first, services.job_claim_next()) == (jobs[:12], None)
    for job in first[:2]:
        end(job)
        assert services.job_let_go(job=job)
    last = [services.job_claim_next() for _ in range(2)]
    assert (last, services.job_claim_next()) == (jobs[12:], None)
    assert not any(services.job_let_go(job=job) for job in (*first[2:], *last))


@pytest.fixture
def attempted(monkeypatch):
    """Attempts that end at once, in their order."""
    jobs: list[Job] = []

    def attempt(job: Job) -> bool:
        jobs.append(job)
        end(job)
        return True

    monkeypatch.setattr(execution, "_attempt", attempt)
    return jobs


def test_thread_runs_what_was_passed_over_itself_and_sends_no_ticket_that_another_worker_could_spend(
    queue, buyer, sixteen, attempted
):
    jobs = queue(buyer, 17)
    held = [services.job_claim_next() for _ in range(11)]
    claiming.worker_seats.end(passed_over())
    execution.jobs_run(may_go_on=lambda: True)
    assert (held, attempted, sixteen) == (jobs[:11], jobs[11:], [])


def test_thread_leaves_the_rest_to_a_ticket_where_the_worker_stops_and_after_many_jobs(
    queue, buyer, sixteen, attempted
):
    jobs = queue(buyer, 40)
    held = [services.job_claim_next() for _ in range(11)]
    claiming.worker_seats.end(passed_over())
    execution.jobs_run(may_go_on=lambda: False)
    assert (attempted, sixteen) == (jobs[11:12], [jobs[11].pk])
    execution.jobs_run(may_go_on=lambda: True)
    assert (held, attempted, sixteen[1:]) == (jobs[:11], jobs[11:28], [jobs[27].pk])


def test_thread_calls_for_another_where_its_account_may_have_one_more(queue, buyer, sixteen, attempted):
    jobs = queue(buyer, 3)
    claiming.worker_seats.end(passed_over())
    execution.jobs_run(may_go_on=lambda: True)
    assert (attempted, sixteen) == (jobs, [job.pk for job in jobs[1:]])


@pytest.mark.parametrize("step", ["job_claim_next", "attempt"])
def test_what_was_passed_over_gets_a_ticket_where_a_step_of_the_thread_fails(
    queue, buyer, sixteen, attempted, monkeypatch, step
):
    jobs = queue(buyer, 14)
    _ = [services.job_claim_next() for _ in range(11)]
    claiming.worker_seats.end(passed_over())

    def locked(*_, **__):
        raise OperationalError("database is locked")

    if step == "attempt":
        monkeypatch.setattr(execution, "_attempt", locked)
    with pytest.raises(OperationalError):
        execution.jobs_run(may_go_on=lambda: monkeypatch.setattr(services, "job_claim_next", locked) or True)
    assert sixteen == [jobs[11].pk]
    assert claiming.worker_seats.has_room(buyer.pk)


def passed_over():
    """A look of another thread that found an account with as many threads as it may have."""
    look = claiming.worker_seats.look()
    look.has_passed_over = True
    return look


def test_stream_of_newcomers_does_not_keep_an_account_waiting_that_was_served(queue, buyer, outsider, publisher):
    again = queue(buyer, 2)[1]
    end(services.job_claim_next())
    for account in (outsider, publisher):
        Job.objects.filter(pk=queue(account)[0].pk).update(created_at=timezone.now() + timedelta(seconds=1))
    assert services.job_claim_next() == again


def test_job_is_taken_that_was_passed_over_while_another_ended(queue, buyer, sixteen, monkeypatch):
    jobs = queue(buyer, 13)
    first = [services.job_claim_next() for _ in range(12)]
    seen = iter([None])

    def overtaken(now, admits):
        found = job_next(now, admits)
        if next(seen, 0) is None:
            services.job_let_go(job=first[0])
        return found

    monkeypatch.setattr(claiming, "job_next", overtaken)
    assert services.job_claim_next() == jobs[12]


def test_trial_does_not_take_what_a_paid_job_was_refused(queue, buyer, outsider, sixteen):
    queue(outsider, is_trial=True)
    queue(buyer, 13)
    assert not any(job.is_trial for _ in range(13) if (job := services.job_claim_next()))


@pytest.mark.parametrize(("threads", "part", "most"), [(1, 0.25, 1), (2, 0.25, 1), (4, 0.25, 3), (16, 0, 16)])
def test_account_has_one_thread_of_a_worker_at_least(settings, threads, part, most):
    settings.JOB_THREADS_FOR_OTHERS = part
    seats = Seats(threads)
    assert [seats.take(1) for _ in range(threads)].count(True) == most


def test_seats_are_exact_when_many_threads_take_at_once():
    seats = Seats(16)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: seats.take(1), range(200))).count(True) == 12


def test_claim_that_fails_gives_its_thread_back(queue, buyer, sixteen, monkeypatch):
    queue(buyer, 20)
    monkeypatch.setattr(claiming, "_start", lambda *_: None)
    assert services.job_claim_next() is None
    assert [claiming.worker_seats.take(buyer.pk) for _ in range(13)].count(True) == 12


@pytest.mark.django_db(transaction=True)
def test_worker_whose_thread_waits_for_one_accounts_job_runs_anothers_and_then_the_rest(
    sell, buyer, outsider, celery_worker, tmp_path
):
    sold, point = sell(supply=5), "worker.during_job"
    sold.market.buy(sold.plan_id, by=outsider.address)
    sold.market.index()
    worker = celery_worker(queues="inference", env={"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)})
    flood = [services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])[0] for _ in range(4)]
    worker.wait_until((tmp_path / point).exists, what=f"at {point}", timeout_s=60)
    alone, _ = services.job_create(account=outsider, model_id=sold.model_id, inputs=["a"])
    ended = Job.objects.filter(state="succeeded")
    worker.wait_until(ended.filter(pk=alone.pk).exists, what="done with the other's", timeout_s=60)
    assert not ended.filter(account=buyer).exists()
    (tmp_path / point).unlink()
    worker.wait_until(lambda: ended.count() == 1 + len(flood), what="done with all, without a sweep", timeout_s=60)
    assert set(Job.objects.values_list("attempts", flat=True)) == {1}


def test_job_that_a_busy_worker_put_back_leaves_the_turn_to_others(queue, buyer, outsider):
    flood, (alone,) = queue(buyer, 2), queue(outsider)
    held = services.job_claim_next()
    assert held == flood[0]
    services.job_retry(job=held, error=RunnerBusyError("Busy."), counts=False)
    Job.objects.update(run_after=None)
    assert services.job_claim_next() == alone


@pytest.mark.django_db(transaction=True)
def test_jobs_claimed_by_many_workers_at_once_are_each_claimed_once_and_fairly(queue, buyer, outsider, publisher):
    queue(buyer, 30)
    queue(outsider, 4)
    queue(publisher, 4)

    def claim(_: int) -> Job | None:
        try:
            return services.job_claim_next()
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        first = [job for job in threads.map(claim, range(12)) if job is not None]
    assert len({job.pk for job in first}) == len(first) == 12
    shares = Counter(job.account_id for job in first)
    assert set(shares.values()) == {4}, shares
    with ThreadPoolExecutor(6) as threads:
        rest = [job for job in threads.map(claim, range(40)) if job is not None]
    assert len({job.pk for job in [*first, *rest]}) == 38
    assert not Job.objects.exclude(attempts=1).exists()


@pytest.mark.django_db(transaction=True)
def test_tickets_that_are_lost_or_come_twice_leave_no_job_and_run_none_twice(
    sell, buyer, outsider, clean_broker, celery_worker
):
    sold = sell(supply=5)
    sold.market.buy(sold.plan_id, by=outsider.address)
    sold.market.index()
    jobs = [
        services.job_create(account=account, model_id=sold.model_id, inputs=["a"])[0]
        for account in (buyer, buyer, outsider)
    ]
    with clean_broker.client() as client:
        client.delete("inference")
    for _ in range(2):
        services.job_enqueue(job_id=jobs[0].pk)
    worker = celery_worker(queues="inference")
    worker.wait_until(lambda: Job.objects.filter(state="succeeded").count() == 2, what="two done", timeout_s=180)
    assert not Job.objects.filter(pk=jobs[2].pk, state="queued").exists(), "the second ticket was the outsider's turn"
    Job.objects.update(enqueued_at=START)
    services.jobs_sweep()
    worker.wait_until(lambda: Job.objects.filter(state="succeeded").count() == 3, what="all done", timeout_s=180)
    assert set(Job.objects.values_list("attempts", flat=True)) == {1}


def test_sweep_announces_as_many_jobs_as_tickets_are_missing_and_no_more(queue, buyer, clean_broker):
    queue(buyer, 5)
    services.job_enqueue(job_id=uuid.uuid4())
    services.job_enqueue(job_id=uuid.uuid4())
    Job.objects.update(enqueued_at=START)
    with clean_broker.client() as client:
        for _ in range(3):
            services.jobs_sweep()
            assert client.llen("inference") == 5
            Job.objects.update(enqueued_at=START)


@pytest.mark.parametrize("told", ["should_stop", "should_terminate"])
def test_thread_of_a_worker_that_was_told_to_end_begins_no_further_job(monkeypatch, told):
    monkeypatch.setattr(tasks, "connections_check", lambda: None)
    assert tasks._may_go_on()
    monkeypatch.setattr(f"celery.worker.state.{told}", 0)
    assert not tasks._may_go_on()


def test_sweep_announces_no_more_at_once_than_so_many(queue, buyer, clean_broker, monkeypatch):
    monkeypatch.setattr(sweeping, "MOST_ANNOUNCED", 3)
    queue(buyer, 5)
    Job.objects.update(enqueued_at=START)
    services.jobs_sweep()
    with clean_broker.client() as client:
        assert client.llen("inference") == 3
