"""Releases that only the chain named: few at once, not for ever, and not in the way of uploads."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

from chain.handlers import DecodedEvent, IndexedEvent, rebuilding
from chain.models import ChainEvent
from models_registry import services
from models_registry.models import Model, Release, ReleaseState
from models_registry.services import fetching
from tests.fixtures.people import BUYER, OUTSIDER, PUBLISHER
from tests.registry.test_many_releases import event

pytestmark = pytest.mark.django_db


PAST = timezone.now() - timedelta(seconds=1)


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, list[int]]]:
    messages: list[tuple[str, list[int]]] = []
    monkeypatch.setattr("celery.Celery.send_task", lambda _app, name, args: messages.append((name, args)))
    return messages


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(fetching, "PENDING_MOST", 2)


def announcement(number: int, publisher: str) -> IndexedEvent:
    row = event(ChainEvent.objects.count() + 1)
    model = Model.objects.create(model_id=row.log_index, publisher=publisher, event=row)
    args = {"modelId": model.model_id, "number": 1, "digest": f"0x{number:064x}"}
    place = (row.block_number, row.block_time, row.tx_hash, row.log_index)
    return IndexedEvent(DecodedEvent("ModelRegistry", "ReleasePublished", args, *place), row)


def announced(*named: tuple[int, str]) -> list[Release]:
    """The releases of digests that publishers announced, in one batch of the indexer."""
    services.releases_published([announcement(number, publisher) for number, publisher in named])
    return [Release.objects.get(digest=f"0x{number:064x}") for number, _ in named]


def given_up() -> None:
    Release.objects.update(attempts=fetching.ATTEMPTS_MOST, check_after=PAST, notice="Not found.")
    assert services.releases_sweep() == 0


def states(releases: list[Release]) -> list[str]:
    return [Release.objects.get(pk=release.pk).state for release in releases]


def test_fetches_of_one_publisher_end_at_a_limit_that_does_not_touch_others(
    sent, few, django_capture_on_commit_callbacks
):
    # The digests descend: it is the chain's order that counts.
    with django_capture_on_commit_callbacks(execute=True):
        rows = announced(*((number, OUTSIDER) for number in (9, 8, 7, 6)), (5, PUBLISHER))
    assert sent == [(fetching.FETCH_TASK, [row.pk]) for row in (rows[0], rows[1], rows[4])]
    assert states(rows) == ["checking", "checking", "refused", "refused", "checking"]
    assert {row.refusals[0]["code"] for row in rows[2:4]} == {"store.block_missing"}


def test_fetches_that_wait_from_earlier_batches_count_in_the_limit(few):
    announced((1, OUTSIDER))
    assert states(announced((4, OUTSIDER), (3, OUTSIDER), (2, OUTSIDER))) == ["checking", "refused", "refused"]


def test_release_refused_for_a_strangers_limit_is_fetched_for_who_announces_it_next(few):
    (*_, release) = announced(*((number, OUTSIDER) for number in (1, 2, 3)), (3, PUBLISHER))
    assert (release.state, release.fetched_for, release.refusals) == (ReleaseState.CHECKING, PUBLISHER, [])


def test_release_given_up_begins_again_for_another_publisher_but_not_for_the_same(
    sent, django_capture_on_commit_callbacks
):
    announced((1, OUTSIDER))
    given_up()
    assert states(announced((1, OUTSIDER))) == ["refused"]
    with django_capture_on_commit_callbacks(execute=True):
        (release,) = announced((1, PUBLISHER))
    assert (release.state, release.attempts, release.check_after) == (ReleaseState.CHECKING, 0, None)
    assert sent == [(fetching.FETCH_TASK, [release.pk])]


def test_release_that_waits_for_a_stranger_gets_all_attempts_for_another_publisher():
    announced((1, OUTSIDER))
    later = timezone.now() + timedelta(hours=1)
    Release.objects.update(attempts=fetching.ATTEMPTS_MOST, check_after=later)
    (release,) = announced((1, PUBLISHER))
    # A worker may be at it: its claim stands.
    assert (release.attempts, release.check_after, release.fetched_for) == (0, later, PUBLISHER)


def test_release_given_up_stays_so_where_the_other_publishers_limit_is_reached(few):
    announced((1, OUTSIDER))
    given_up()
    assert states(announced((2, PUBLISHER), (3, PUBLISHER), (1, PUBLISHER))) == ["checking", "checking", "refused"]


def test_release_begun_again_by_a_stranger_is_not_counted_in_its_first_publishers_limit(few):
    announced((1, PUBLISHER), (2, PUBLISHER))
    given_up()
    announced((1, OUTSIDER), (2, OUTSIDER))
    assert states(announced((3, PUBLISHER), (4, PUBLISHER))) == ["checking", "checking"]


def test_strangers_who_share_a_digest_have_no_more_waiting_than_each_may(few):
    announced((1, OUTSIDER), (2, OUTSIDER))
    announced((1, BUYER), (2, BUYER), (3, OUTSIDER), (4, OUTSIDER))
    assert states(announced((5, OUTSIDER), (6, BUYER))) == ["refused", "refused"]


def test_release_that_waits_for_its_publisher_goes_on_where_a_strangers_limit_is_reached(few):
    announced((1, PUBLISHER), (2, OUTSIDER), (3, OUTSIDER))
    (release,) = announced((1, OUTSIDER))
    assert (release.state, release.fetched_for) == (ReleaseState.CHECKING, PUBLISHER)


@pytest.mark.parametrize(
    "known",
    [
        {"state": ReleaseState.REFUSED, "refusals": [{"code": "release.too_large"}]},
        {"state": ReleaseState.CHECKING, "publisher": PUBLISHER},
    ],
    ids=["refused for its files", "uploaded"],
)
def test_release_of_which_more_is_known_is_not_fetched_for_who_announces_it(
    known, sent, django_capture_on_commit_callbacks
):
    Release.objects.create(digest=f"0x{1:064x}", attempts=3, **known)
    with django_capture_on_commit_callbacks(execute=True):
        (release,) = announced((1, PUBLISHER))
    assert (release.state, release.attempts, release.fetched_for) == (known["state"], 3, "")
    assert sent == []


def test_release_given_up_stays_so_while_the_index_is_rebuilt():
    announced((1, OUTSIDER))
    given_up()
    with rebuilding():
        rows = announced((1, PUBLISHER), (2, PUBLISHER))
    assert states(rows) == ["refused", "checking"]


def test_release_given_up_stays_so_when_the_handler_runs_again():
    events = [announcement(1, OUTSIDER), announcement(1, PUBLISHER)]
    services.releases_published(events)
    given_up()
    services.releases_published(events)
    assert Release.objects.get().state == ReleaseState.REFUSED


def test_fetch_taken_over_while_the_sweep_gives_it_up_goes_on(monkeypatch):
    announced((1, OUTSIDER))
    Release.objects.update(attempts=fetching.ATTEMPTS_MOST, check_after=PAST)
    refusal = fetching.refusal
    monkeypatch.setattr(fetching, "refusal", lambda *args: announced((1, PUBLISHER)) and refusal(*args))
    assert fetching.fetches_give_up() == 0
    release = Release.objects.get()
    assert (release.state, release.fetched_for) == (ReleaseState.CHECKING, PUBLISHER)


def test_fetches_from_before_the_limit_was_counted_so_are_for_who_announced_first():
    announced((1, OUTSIDER))
    announced((1, PUBLISHER))
    Release.objects.update(fetched_for="")
    import_module("models_registry.migrations.0004_fetched_for").fetches_fill(apps, None)
    assert Release.objects.get().fetched_for == OUTSIDER


def test_fetch_that_found_nothing_often_enough_ends_and_may_begin_again(sent, django_capture_on_commit_callbacks):
    (release,) = announced((1, OUTSIDER))
    given_up()
    release.refresh_from_db()
    assert (release.state, release.refusals[0]["found"]) == (ReleaseState.REFUSED, "Not found.")
    with django_capture_on_commit_callbacks(execute=True):
        call_command("fetch_releases", release.digest)
    release.refresh_from_db()
    assert (release.state, release.attempts, release.refusals) == (ReleaseState.CHECKING, 0, [])
    assert sent == [(fetching.FETCH_TASK, [release.pk])]


def test_sweep_sends_fetches_and_uploads_to_queues_of_their_own(sent, django_capture_on_commit_callbacks):
    named = Release.objects.create(digest="0x" + "1" * 64, check_after=PAST)
    uploaded = Release.objects.create(digest="0x" + "2" * 64, check_after=PAST, publisher=PUBLISHER)
    with django_capture_on_commit_callbacks(execute=True):
        assert services.releases_sweep() == 2
    assert sent == [("models_registry.tasks.release_check", [uploaded.pk]), (fetching.FETCH_TASK, [named.pk])]
