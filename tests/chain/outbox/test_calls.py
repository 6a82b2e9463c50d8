"""The operator's own calls, through the real contracts."""

import pytest

from chain.bindings import receipt_anchor
from chain.bindings.anchor import Anchored
from chain.errors import EncodingError
from chain.models import OutboxTransaction
from chain.outbox.calls import (
    BATCH,
    income_collect_enqueue,
    receipts_anchor_enqueue,
    usage_report_enqueue,
    usage_reports_under_way,
)

pytestmark = pytest.mark.django_db

ROOT = "0x" + "ab" * 32
CID = "0x" + "01" * 32


def test_batch_is_the_markets(market):
    assert market.read("LicenceMarket", "BATCH", []) == BATCH


def test_use_is_reported_in_batches_once_per_count(outbox):
    market = outbox.market
    model_id = market.publish()
    plan_id = market.add_plan(model_id, calls=100, supply=60)
    ids = [market.buy(plan_id) for _ in range(BATCH + 2)]
    rows = usage_report_enqueue(ids, [1] * len(ids))
    assert [row.purpose for row in rows] == ["usage.report"] * 2
    assert usage_report_enqueue(ids[::-1], [1] * len(ids)) == rows, "the order of licences makes no other report"
    outbox.work()
    states = market.read("LicenceMarket", "licenceStates", [[ids[0], ids[-1]]])
    assert [state["used"] for state in states] == [1, 1]
    assert usage_report_enqueue(ids, [1] * len(ids)) == rows
    (later,) = usage_report_enqueue(ids[:1], [2])
    outbox.work()
    assert market.read("LicenceMarket", "licenceStates", [[ids[0]]])[0]["used"] == 2
    assert OutboxTransaction.objects.count() == 3
    later.refresh_from_db()
    assert [event["name"] for event in market.events(later.tx_hash)] == ["UsageReported"]


def test_use_is_reported_once_per_occasion_and_is_under_way_until_it_is_final(outbox):
    _, _, licence_id = outbox.market.sold_licence(calls=10)
    (row,) = usage_report_enqueue([licence_id], [1])
    (again,) = usage_report_enqueue([licence_id], [1], occasion="0xab:1")
    assert usage_report_enqueue([licence_id], [1], occasion="0xab:1") == [again] != [row]
    assert usage_reports_under_way() == {licence_id}
    outbox.work()
    assert usage_reports_under_way() == {licence_id}
    outbox.finalise()
    outbox.work()
    assert usage_reports_under_way() == set()


@pytest.mark.parametrize(("ids", "used"), [([1, 2], [1]), ([1, 1], [1, 2])])
def test_report_that_does_not_say_what_it_means_is_refused(market, ids, used):
    with pytest.raises(EncodingError):
        usage_report_enqueue(ids, used)
    assert not OutboxTransaction.objects.exists()


def test_report_of_nothing_is_nothing(market):
    assert (usage_report_enqueue([], []), income_collect_enqueue([])) == ([], [])


def test_income_is_collected_once_per_occasion(outbox):
    market = outbox.market
    _, plan_id, licence_id = market.sold_licence(price=1000, period=10_000, vesting=10_000)
    market.warp(5_000)
    rows = income_collect_enqueue([licence_id])
    assert income_collect_enqueue([licence_id, licence_id]) == rows, "a day is one occasion"
    outbox.work()
    earned = market.read("LicenceMarket", "plan", [plan_id])[1]["earned"]
    assert 500 <= earned < 600
    market.warp(2_000)
    (again,) = income_collect_enqueue([licence_id], occasion="before the payout of May")
    assert again.pk != rows[0].pk
    outbox.work()
    assert market.read("LicenceMarket", "plan", [plan_id])[1]["earned"] >= 700


def test_receipts_are_anchored_once_by_the_operators_key(outbox):
    market = outbox.market
    row = receipts_anchor_enqueue(ROOT, 12, CID)
    assert receipts_anchor_enqueue(ROOT, 12, CID, operator_id=market.operator_id).pk == row.pk
    outbox.work()
    anchored = receipt_anchor().anchored(market.operator_id, ROOT).read()
    assert isinstance(anchored, Anchored)
    assert (anchored.count, anchored.anchored_at) == (12, market.now)
    row.refresh_from_db()
    assert (row.outcome, row.purpose) == ("succeeded", "receipts.anchor")


def test_batch_of_another_count_under_a_root_that_is_anchored_is_held_with_the_contracts_reason(outbox):
    receipts_anchor_enqueue(ROOT, 12, CID)
    outbox.work()
    other = receipts_anchor_enqueue(ROOT, 13, CID)
    outbox.work()
    other.refresh_from_db()
    assert (other.state, other.reason_code) == ("queued", "chain.reverted.anchored_already")
