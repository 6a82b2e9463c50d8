"""Releases that only the chain named: few at once, not for ever, and not in the way of uploads."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from models_registry import services
from models_registry.models import Model, PublishedRelease, Release, ReleaseState
from models_registry.services import fetching
from tests.fixtures.people import OUTSIDER, PUBLISHER
from tests.registry.test_many_releases import event

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, list[int]]]:
    messages: list[tuple[str, list[int]]] = []
    monkeypatch.setattr("celery.Celery.send_task", lambda _app, name, args: messages.append((name, args)))
    return messages


def announced(number: int, publisher: str = OUTSIDER) -> Release:
    release = Release.objects.create(digest=f"0x{number:064x}")
    model = Model.objects.create(model_id=number, publisher=publisher, event=event(number))
    PublishedRelease.objects.create(
        model=model, number=1, digest=release.digest, publisher=publisher, release=release, event=model.event
    )
    fetching.fetch_begin(release, publisher=publisher)
    return release


def test_fetches_of_one_publisher_end_at_a_limit_that_does_not_touch_others(
    sent, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(fetching, "PENDING_MOST", 2)
    with django_capture_on_commit_callbacks(execute=True):
        rows = [announced(number) for number in (1, 2, 3)] + [announced(4, PUBLISHER)]
    assert sent == [(fetching.FETCH_TASK, [row.pk]) for row in (rows[0], rows[1], rows[3])]
    rows[2].refresh_from_db()
    assert (rows[2].state, rows[2].refusals[0]["code"]) == (ReleaseState.REFUSED, "store.block_missing")


def test_fetch_that_found_nothing_often_enough_ends_and_may_begin_again(sent, django_capture_on_commit_callbacks):
    release = announced(1)
    past = timezone.now() - timedelta(seconds=1)
    Release.objects.update(attempts=fetching.ATTEMPTS_MOST, check_after=past, notice="Not found.")
    assert services.releases_sweep() == 0
    release.refresh_from_db()
    assert (release.state, release.refusals[0]["found"]) == (ReleaseState.REFUSED, "Not found.")
    with django_capture_on_commit_callbacks(execute=True):
        call_command("fetch_releases", release.digest)
    release.refresh_from_db()
    assert (release.state, release.attempts, release.refusals) == (ReleaseState.CHECKING, 0, [])
    assert sent == [(fetching.FETCH_TASK, [release.pk])]


def test_sweep_sends_fetches_and_uploads_to_queues_of_their_own(sent, django_capture_on_commit_callbacks):
    past = timezone.now() - timedelta(seconds=1)
    named = Release.objects.create(digest="0x" + "1" * 64, check_after=past)
    uploaded = Release.objects.create(digest="0x" + "2" * 64, check_after=past, publisher=PUBLISHER)
    with django_capture_on_commit_callbacks(execute=True):
        assert services.releases_sweep() == 2
    assert sent == [("models_registry.tasks.release_check", [uploaded.pk]), (fetching.FETCH_TASK, [named.pk])]
