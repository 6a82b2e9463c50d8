"""The index of the activity feeds: what is in it, in which order it is read, and by which index."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chain import activity
from chain.abi import INDEXED_CONTRACTS, artefact
from chain.models import ChainEvent, EventSubject, Topic
from chain.subjects import subjects_of

pytestmark = pytest.mark.django_db

LICENCE = (7 << 64) | (3 << 32) | 1
HOLDER, PAYER = "0x" + "11" * 20, "0x" + "22" * 20
ROWS = 2000


def test_subjects_of_a_purchase_are_its_licence_plan_model_and_parties():
    args = {"licenceId": str(LICENCE), "planId": str(7 << 32 | 3), "holder": HOLDER, "payer": PAYER}
    found = subjects_of("LicenceMarket", "LicenceBought", args)
    assert (found.model_id, found.plan_id, found.licence_id) == (7, 7 << 32 | 3, LICENCE)
    assert (found.model_ids, found.accounts) == ([7], [HOLDER, PAYER])


def test_subjects_of_a_token_are_those_of_its_contract():
    args = {"from": HOLDER, "to": PAYER, "tokenId": str(LICENCE)}
    assert subjects_of("LicenceMarket", "Transfer", args).licence_id == LICENCE
    assert subjects_of("ModelRegistry", "Transfer", args).model_ids == [LICENCE]


def test_credit_of_an_ancestor_is_about_both_models():
    found = subjects_of("LicenceMarket", "AncestorCredited", {"planId": str(7 << 32 | 3), "modelId": "4"})
    assert (found.model_id, found.model_ids) == (7, [7, 4])


def test_parties_are_arguments_that_their_events_have():
    declared = {
        (name, event.name): event.order for name in INDEXED_CONTRACTS for event in artefact(name).events.values()
    }
    assert set(activity.TOPICS) <= set(declared)
    for (contract, name), topic in activity.TOPICS.items():
        zeros = {argument: "0" if "Id" in argument else HOLDER for argument in declared[contract, name]}
        found = subjects_of(contract, name, zeros)
        assert found.model_ids or found.accounts or topic in (Topic.OPERATOR, Topic.MARKET), name


@pytest.fixture
def crowded(db) -> None:
    """Many events of one busy model, a few of a quiet one, with the statistics that the planner goes by."""
    now = datetime.now(UTC)
    place = {"chain_id": 31337, "block_time": now, "tx_hash": "0x" + "aa" * 32, "tx_index": 0, "address": HOLDER}
    rows = ChainEvent.objects.bulk_create(
        ChainEvent(
            **place,
            block_number=number,
            block_hash=f"0x{number:064x}",
            log_index=0,
            contract="LicenceMarket",
            name="PlanRetired" if number % 500 == 0 else "UsageReported",
            args={"licenceId": str(LICENCE), "used": "1"},
        )
        for number in range(ROWS)
    )
    EventSubject.objects.bulk_create(
        EventSubject(event=row, value="7", topic=activity.TOPICS[row.contract, row.name]) for row in rows
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plans_of(read) -> list[str]:
    """The planner's words for each query that `read` sends."""
    with CaptureQueriesContext(connection) as sent:
        read()
    plans = []
    for query in sent.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plans.append("; ".join(row[3] for row in cursor.fetchall()))
    return plans


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("read", "used"),
    [
        (lambda: activity.events_of_model(7, before=500, limit=20), "COVERING INDEX chain_subject_feed"),
        (lambda: activity.events_of_account(HOLDER, limit=20), "COVERING INDEX chain_subject_feed"),
        (lambda: activity.events_of_market(before=500, limit=20), "INTEGER PRIMARY KEY"),
        (lambda: activity.events_of_market(topic=Topic.PLAN, before=500, limit=20), "chain_event_name"),
    ],
)
def test_feed_is_read_from_an_index_and_never_sorted(crowded, read, used):
    for plan in plans_of(read):
        assert used in plan
        assert "TEMP B-TREE" not in plan
