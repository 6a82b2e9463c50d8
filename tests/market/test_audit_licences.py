"""The audit finds every value of the market's read models that is not the chain's, and every broken handler."""

import pytest
from django.apps import apps

from chain.abi import INDEXED_CONTRACTS, artefact
from chain.audit import registry, run
from chain.bindings import market
from chain.gateway.errors import NodeUnavailable
from chain.models import ChainEvent
from marketplace.licences import models
from marketplace.orders.models import Order, OrderKind
from marketplace.orders.services import order_record
from tests.fixtures.audit import altered, audit, bugs, handler_rerun, undone, wrongs
from tests.reorg.test_handlers import derived_models

pytestmark = pytest.mark.django_db
HANDLERS = "marketplace.licences"
TABLES = [model for model in derived_models() if model._meta.app_label == "licences"]
# Rows that people make, and that are only tied to an event.
TIED = {Order}


def test_history_in_which_everything_happened_is_equal(history):
    history.index()
    known = {event.name for name in INDEXED_CONTRACTS for event in artefact(name).events.values()}
    unseen = known - set(ChainEvent.objects.values_list("name", flat=True))
    assert unseen == {"ApprovalForAll", "BatchMetadataUpdate", "OwnershipTransferStarted"}
    report = audit()
    assert [str(found) for found in report.differences] == []
    assert report.values > 1200
    assert report.rows > 200


def test_every_table_that_comes_from_events_has_an_audit():
    audited = {row.model for row in registry.row_audits()}
    assert set(derived_models()) == audited | TIED
    assert set(TABLES) == {model for model in apps.get_app_config("licences").get_models() if model in audited}


def test_every_event_with_a_handler_is_one_that_an_audit_expects():
    expected = {key for row in registry.row_audits() for key in row.expected}
    handled = {key for app in ("chain", "marketplace.licences", "models_registry") for key in bugs(app)}
    assert handled == expected


def test_wrong_values_missing_rows_and_rows_too_many_are_found_and_named(history):
    history.index()
    planted, missed = [wrong for model in TABLES for wrong in wrongs(model)], []
    for wrong in planted:
        with undone():
            if wrong.is_planted() and not wrong.is_named(audit(only_first=True)):
                missed.append((wrong.table, wrong.field))
    assert missed == []
    assert len(planted) > 130
    assert audit().is_equal


@pytest.mark.parametrize("change", [None, altered], ids=["drops", "alters"])
def test_handler_that_does_something_else_with_an_event_is_found(history, change):
    history.index()
    missed = []
    for key in bugs(HANDLERS):
        with undone():
            handler_rerun(key, HANDLERS, change)
            audited = {row.model._meta.label for row in registry.row_audits() if key in row.expected}
            missed += [] if audited & {found.table for found in audit(only_first=True).differences} else [key]
    assert missed == []


# What no view of the contracts says: the logs alone do. The registration of the newest operator and the order of a
# lineage's only ancestor are old news, or no news.
LOGGED_ALONE = {
    *("licences.Licence.payer", "licences.LicenceRenewal.payer", "licences.LicenceSettlement.to_address"),
    *("licences.Withdrawal.to_address", "licences.AccountWithdrawal.to_address", "licences.Suspension.reason"),
    *("licences.Operator.key", "licences.Operator.payee", "licences.SuspensionConfirmation.gone"),
    *(f"licences.UsageSkip.{name}" for name in ("licence_id", "used", "reason", "gone")),
    *(f"licences.KeyDelivery.{name}" for name in ("licence_id", "holder", "recipient_key", "wrapped_key_hash", "gone")),
}


def test_views_alone_find_all_but_what_they_do_not_say(history, monkeypatch):
    history.index()
    planted, missed = [wrong for model in TABLES for wrong in wrongs(model, newest=True)], set()
    monkeypatch.setattr(run, "events_audit", lambda _block: ())
    for wrong in planted:
        with undone():
            wrong.plant()
            # Which log a row hangs on is nothing that a view could know.
            if wrong.field != "event" and wrong.row != "twice" and audit(only_first=True).is_equal:
                missed.add(str(wrong))
    assert missed == LOGGED_ALONE


def test_order_that_is_tied_to_another_log_than_its_own_is_found(history, buyer):
    history.index()
    mine, next_ = ChainEvent.objects.filter(name="LicenceBought", args__holder=buyer.address).order_by("id")[:2]
    other = ChainEvent.objects.filter(name="PlanAdded").order_by("id")[0]
    tied, _ = order_record(account=buyer, tx_hash=mine.tx_hash, kind=OrderKind.BUY)
    untied, _ = order_record(account=buyer, tx_hash=other.tx_hash, kind=OrderKind.BUY)
    assert list(Order.objects.order_by("created_at").values_list("event", flat=True)) == [mine.pk, None]
    assert audit().is_equal
    for order, event in ((tied, None), (tied, next_), (tied, other), (untied, other)):
        with undone():
            Order.objects.filter(pk=order.pk).update(event=event)
            (found,) = audit().differences
            assert (found.table, found.subject, found.field) == ("orders.Order", f"order {order.pk}", "event")


def test_rows_that_come_from_another_chain_are_found(history):
    history.index()
    foreign = ChainEvent.objects.order_by("id").last()
    foreign.pk, foreign.chain_id = None, 5
    foreign.save(force_insert=True)
    assert audit().is_equal, "an event alone is on no page"
    models.PlanRetirement.objects.create(event=foreign, plan_id=1 << 32 | 1)
    assert [found.table for found in audit().differences] == ["licences.PlanRetirement"]


def test_node_that_answers_fewer_licences_than_it_was_asked_about_ends_the_audit_without_a_verdict(
    history, monkeypatch
):
    history.index()
    monkeypatch.setattr(market, "structs_of", lambda kind: lambda rows: tuple(kind(*row.values()) for row in rows[1:]))
    with pytest.raises(NodeUnavailable, match="another number"):
        audit()


@pytest.mark.django_db(transaction=True)
def test_process_ends_with_another_status_where_nothing_is_known_than_where_something_differs(history, manage):
    unknown = manage("audit_index", "--block", "indexed")
    assert unknown.process.wait(60) == 2, unknown.output()
    assert "Nothing is known" in unknown.output()
    history.index()
    models.PlanRetirement.objects.all().delete()
    different = manage("audit_index", "--block", "indexed")
    assert different.process.wait(60) == 1, different.output()
    assert "licences.PlanRetirement" in different.output()
