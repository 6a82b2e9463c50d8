"""An owner may announce releases without limit: what others read stays small."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chain.models import ChainEvent
from models_registry import selectors
from models_registry.api_schemas import ReleaseSerializer
from models_registry.models import Model, ModelOwner, PublishedRelease, Release, ReleaseState
from tests.fixtures.people import OUTSIDER, PUBLISHER

ROWS = 150


def event(number: int) -> ChainEvent:
    return ChainEvent.objects.create(
        chain_id=31337,
        block_number=number,
        block_hash="0x" + "1" * 64,
        block_time=timezone.now(),
        log_index=number,
        tx_hash=f"0x{number:064x}",
        tx_index=0,
        args={},
    )


@pytest.fixture
def spammed(db) -> Model:
    """A model that announced one release with a large card many times, and changed hands as often."""
    model = Model.objects.create(model_id=1, publisher=PUBLISHER, event=event(1))
    card, manifest = "word " * 1000, {"files": ["x" * 1000]}
    release = Release.objects.create(
        digest="0x" + "ab" * 32, state=ReleaseState.READY, name="One", card=card, manifest=manifest
    )
    for number in range(1, ROWS + 1):
        row = event(number + 1)
        ModelOwner.objects.create(event=row, model_id=1, owner=(PUBLISHER, OUTSIDER)[number % 2])
        PublishedRelease.objects.create(
            event=row,
            model=model,
            number=number,
            digest=release.digest,
            publisher=PUBLISHER,
            release=release,
            is_listable=number <= ROWS - 10,
        )
    return model


def test_model_list_reads_two_releases_of_a_model_and_no_card(spammed):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        (shown,) = selectors.model_list().models
    assert (shown.number, shown.latest_number, shown.owner) == (ROWS - 10, ROWS, PUBLISHER)
    assert shown.release is not None
    assert {"card", "manifest", "fingerprint"} <= shown.release.get_deferred_fields()
    assert len(queries) == 3
    assert not any('"card"' in query["sql"] for query in queries)


def test_model_list_builds_few_rows_however_many_there_are(spammed, monkeypatch):
    built = []
    for kind in (PublishedRelease, ModelOwner, Release):
        original = kind.from_db.__func__
        monkeypatch.setattr(
            kind,
            "from_db",
            classmethod(lambda cls, *args, original=original: built.append(cls) or original(cls, *args)),
        )
    selectors.model_get_many([1])
    assert built.count(PublishedRelease) == 2
    assert len(built) <= 4


def test_model_page_reads_the_card_of_one_release(spammed):
    assert selectors.model_get(1).card.startswith("word")
    assert all("card" in row.release.get_deferred_fields() for row in selectors.release_list_for_model(1))


def test_list_of_releases_is_cut_and_counted(spammed):
    assert len(selectors.release_list_for_model(1)) == selectors.PAGE_LIMIT
    assert [row.number for row in selectors.release_list_for_model(1, limit=3)] == [ROWS, ROWS - 1, ROWS - 2]
    assert selectors.release_count_for_model(1) == ROWS


def test_model_page_shows_the_newest_releases_and_how_many_there_are(spammed, client):
    page = client.get("/models/1/").content.decode()
    assert f"The newest 20 of {ROWS} releases." in page


def test_release_names_its_newest_announcements_only(spammed):
    shown = ReleaseSerializer(Release.objects.get()).data["published"]
    assert [entry["number"] for entry in shown] == list(range(ROWS, ROWS - 20, -1))
