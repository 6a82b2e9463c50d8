"""The audit finds every value of the registry's read models that is not the chain's, and every broken handler."""

import pytest
from django.db import models

from chain.audit import registry, run
from models_registry.models import Model, PublishedRelease, Release, ReleaseState
from tests.fixtures.audit import Wrong, altered, audit, bugs, handler_rerun, undone, wrongs
from tests.reorg.test_handlers import derived_models

pytestmark = pytest.mark.django_db
HANDLERS = "models_registry"
TABLES: list[type[models.Model]] = [model for model in derived_models() if model._meta.app_label == HANDLERS]


def found_not(planted: list[Wrong]) -> set[str]:
    missed = set()
    for wrong in planted:
        with undone():
            if wrong.is_planted() and not wrong.is_named(audit(only_first=True)):
                missed.add(str(wrong))
    return missed


def test_wrong_values_missing_rows_and_rows_too_many_are_found_and_named(history):
    history.index()
    planted = [wrong for model in TABLES for wrong in wrongs(model)]
    assert found_not(planted) == set()
    assert len(planted) > 25
    assert audit().is_equal


def test_views_alone_find_every_wrong_value_of_the_newest_rows_but_the_place_of_an_only_ancestor(history, monkeypatch):
    history.index()
    planted = [wrong for model in TABLES for wrong in wrongs(model, newest=True)]
    monkeypatch.setattr(run, "events_audit", lambda _block: ())
    missed = set()
    for wrong in planted:
        with undone():
            wrong.plant()
            if wrong.field != "event" and wrong.row != "twice" and audit(only_first=True).is_equal:
                missed.add(str(wrong))
    assert missed == {"models_registry.LineageShare.place"}


@pytest.mark.parametrize("change", [None, altered], ids=["drops", "alters"])
@pytest.mark.parametrize("key", bugs(HANDLERS), ids=lambda key: key[1])
def test_handler_that_does_something_else_with_an_event_is_found(history, key, change):
    history.index()
    if key[1] == "ModelPublished" and change is None:
        # Releases hang off their model: it cannot be deleted alone.
        PublishedRelease.objects.all().delete()
    handler_rerun(key, HANDLERS, change)
    audited = {row.model._meta.label for row in registry.row_audits() if key in row.expected}
    assert audited & {found.table for found in audit().differences}


def test_release_that_may_not_be_listed_and_is_listed_is_found(history):
    history.index()
    row = PublishedRelease.objects.order_by("pk").first()
    Release.objects.filter(pk=row.release_id).update(state=ReleaseState.READY, publisher=row.publisher.lower())
    assert {found.field for found in audit().differences} == {"is_listable"}
    PublishedRelease.objects.filter(digest=row.digest, publisher=row.publisher).update(is_listable=True)
    assert audit().is_equal
    Release.objects.filter(pk=row.release_id).update(publisher="0x" + "11" * 20)
    assert {found.field for found in audit().differences} == {"is_listable"}


def test_model_of_which_everything_is_missing_is_found_by_the_count_of_models(history, monkeypatch):
    history.index()
    monkeypatch.setattr(run, "events_audit", lambda _block: ())
    Model.objects.order_by("pk").last().delete()
    (found,) = audit(only_first=True).differences
    assert (found.table, found.database) == ("models_registry.Model", "no row")
