"""What became of licences: renewed, cancelled, settled, suspended, used up. By the index, and as a re-org undoes it."""

import pytest

from marketplace.licences import selectors, services
from marketplace.licences.errors import (
    CallsExhaustedError,
    LicenceCancelledError,
    LicenceNotFoundError,
    LicenceSuspendedError,
)
from marketplace.licences.models import Holding, LicenceRenewal, SuspensionEnd
from tests.fixtures.contracts import DOWNLOAD, RENEWABLE, RUN, TRANSFERABLE
from tests.fixtures.people import BUYER, OUTSIDER
from tests.market.test_market_rows import deliver

pytestmark = pytest.mark.django_db
DAY = 24 * 3600
MONTH = {"period": 30 * DAY, "vesting": 30 * DAY, "flags": RUN | RENEWABLE | TRANSFERABLE}


def view_of(market, licence_id: int) -> selectors.LicenceView:
    market.index()
    view = selectors.licence_get(licence_id)
    assert view is not None
    return view


def rolled_back(market, blocks: int = 1) -> None:
    market.anvil.rpc("anvil_rollback", blocks)
    market.mine(blocks + 1)


def expiry_on_chain(market, licence_id: int) -> int:
    (state,) = market.read("LicenceMarket", "licenceStates", [[licence_id]])
    return state["expiry"]


def test_licence_renewed_lasts_as_the_market_says_and_a_reorg_takes_it_back(market):
    _, _, licence_id = market.sold_licence(**MONTH, calls=5)
    first = view_of(market, licence_id).expires_at.timestamp()
    market.warp(3 * DAY)
    market.renew(licence_id)
    view = view_of(market, licence_id)
    assert view.expires_at.timestamp() == first + 30 * DAY == expiry_on_chain(market, licence_id)
    assert (view.calls, view.renewal.payer, view.state) == (10, BUYER, "valid")
    rolled_back(market)
    view = view_of(market, licence_id)
    assert (view.expires_at.timestamp(), view.calls, view.renewal) == (first, 5, None)
    assert not LicenceRenewal.objects.exists()


def test_licence_renewed_after_its_end_is_not_expired_any_more(market):
    model_id, _, licence_id = market.sold_licence(**MONTH)
    market.warp(40 * DAY)
    assert view_of(market, licence_id).state == "expired"
    assert view_of(market, licence_id).is_renewable
    market.renew(licence_id)
    assert view_of(market, licence_id).state == "valid"
    assert services.licence_require(holder=BUYER, model_id=model_id).licence_id == licence_id


def test_licence_cancelled_leaves_its_holders_list_and_stays_in_the_history(market):
    _, plan_id, licence_id = market.sold_licence(**MONTH, supply=1)
    market.index()
    assert selectors.plan_get(plan_id).is_sold_out
    market.cancel(licence_id, to=OUTSIDER)
    view = view_of(market, licence_id)
    assert (view.state, view.holder, view.settlement.to_address) == ("settled", BUYER, OUTSIDER)
    assert view.refund_text.endswith(" ETH")
    assert selectors.licence_list_for_holder(BUYER) == []
    assert [found.licence.licence_id for found in selectors.licence_list_settled(BUYER)] == [licence_id]
    assert selectors.licence_list_settled(OUTSIDER) == []
    plan = selectors.plan_get(plan_id)
    assert (plan.sold, plan.live, plan.is_on_sale) == (1, 0, True)
    assert selectors.plans_on_sale([plan.plan.model_id])[plan.plan.model_id].plan.plan_id == plan_id
    rolled_back(market)
    assert view_of(market, licence_id).state == "valid"
    assert selectors.plan_get(plan_id).is_sold_out
    assert [found.licence.licence_id for found in selectors.licence_list_for_holder(BUYER)] == [licence_id]


def test_licence_cancelled_with_calls_waits_for_its_settlement(market):
    model_id, plan_id, licence_id = market.sold_licence(**MONTH, calls=10, supply=1)
    market.cancel(licence_id)
    view = view_of(market, licence_id)
    assert (view.state, view.holder, view.is_renewable, view.is_cancellable) == ("cancelled", BUYER, False, False)
    assert view.settles_at.timestamp() == market.now + 6 * 3600
    assert selectors.plan_get(plan_id).live == 0, "its place in the supply is free at once"
    with pytest.raises(LicenceCancelledError):
        services.licence_require(holder=BUYER, model_id=model_id, licence_id=licence_id)
    detail = selectors.licence_detail(licence_id)
    assert (detail.state, detail.is_settleable, detail.curve) == ("cancelled", False, [(detail.now, detail.vested)])
    assert detail.refund_at(detail.now + 99 * DAY) == detail.refund, "time vests nothing any more"
    assert detail.refund_at(detail.now + 1, used=5) == detail.amount - detail.amount // 2
    market.warp(6 * 3600)
    market.settle(licence_id, by=OUTSIDER, to=BUYER)
    assert view_of(market, licence_id).state == "settled"
    assert selectors.plan_get(plan_id).live == 0, "and it is not free twice"


def test_licence_of_a_suspended_model_is_refused_and_loses_no_time(market):
    model_id, plan_id, licence_id = market.sold_licence(**MONTH)
    before = view_of(market, licence_id).expires_at.timestamp()
    market.suspend(model_id)
    market.warp(DAY)
    view = view_of(market, licence_id)
    assert (view.state, view.is_renewable) == ("suspended", False)
    assert view.suspension.reason == "0x" + "99" * 32
    assert not selectors.plan_get(plan_id).is_on_sale
    assert selectors.plans_on_sale([model_id]) == {}
    with pytest.raises(LicenceSuspendedError):
        services.licence_require(holder=BUYER, model_id=model_id)
    market.resume(model_id)
    view = view_of(market, licence_id)
    assert view.state == "valid"
    assert view.expires_at.timestamp() >= before + DAY
    assert view.expires_at.timestamp() == expiry_on_chain(market, licence_id)
    assert services.licence_require(holder=BUYER, model_id=model_id).licence_id == licence_id


def test_licence_of_a_model_whose_suspension_lapsed_runs_on_without_an_event(market):
    model_id, _, licence_id = market.sold_licence(**MONTH)
    before = view_of(market, licence_id).expires_at.timestamp()
    market.suspend(model_id)
    market.warp(20 * DAY)
    view = view_of(market, licence_id)
    assert (view.state, view.suspension) == ("valid", None)
    assert view.expires_at.timestamp() == before + 14 * DAY == expiry_on_chain(market, licence_id)
    assert not SuspensionEnd.objects.exists()
    times = selectors.model_times([model_id])[model_id]
    assert times.clock(market.now) == market.read("LicenceMarket", "modelClock", [model_id])[0]


def test_suspension_confirmed_does_not_lapse_and_a_reorg_unconfirms_it(market):
    model_id, _, licence_id = market.sold_licence(**MONTH)
    market.suspend(model_id)
    market.send("LicenceMarket", "confirmSuspension", [model_id], by=market.admin)
    market.warp(100 * DAY)
    assert view_of(market, licence_id).state == "suspended"
    times = selectors.model_times([model_id])[model_id]
    assert times.clock(market.now) == market.read("LicenceMarket", "modelClock", [model_id])[0]
    assert selectors.licence_detail(licence_id).is_settleable, "after 90 days anybody may have it settled"
    rolled_back(market, 2)
    market.warp(100 * DAY)
    assert view_of(market, licence_id).suspension is None


def test_model_clock_is_the_markets_after_every_kind_of_suspension(market):
    model_id, other = market.publish(), market.publish(b"\x02" * 32)
    clocks = []
    for step in ("suspend", "lapse", "suspend", "confirm", "wait", "resume", "wait", "suspend"):
        if step == "suspend":
            market.suspend(model_id)
        elif step == "confirm":
            market.send("LicenceMarket", "confirmSuspension", [model_id], by=market.admin)
        elif step == "resume":
            market.resume(model_id)
        else:
            market.warp(17 * DAY + 31)
        market.index()
        found = selectors.model_times([model_id, other])
        clocks.append(found[model_id].clock(market.now))
        assert clocks[-1] == market.read("LicenceMarket", "modelClock", [model_id])[0], step
        assert found[other].clock(market.now) == market.now
    assert clocks == sorted(clocks)


def test_block_time_of_an_expiry_leaves_out_suspensions_that_came_after_it(market):
    model_id, _, licence_id = market.sold_licence(**MONTH)
    first = view_of(market, licence_id).expires_at
    market.warp(31 * DAY)
    market.suspend(model_id)
    market.warp(DAY)
    view = view_of(market, licence_id)
    assert (view.state, view.expires_at) == ("expired", first)


def test_licence_with_every_call_reported_is_refused(market):
    model_id, _, licence_id = market.sold_licence(**MONTH, calls=3)
    market.index()
    market.report_usage({licence_id: 3})
    with pytest.raises(CallsExhaustedError):
        services.licence_require(holder=BUYER, model_id=model_id)
    assert view_of(market, licence_id).used == 3


def test_usable_first_puts_cancelled_and_expired_behind_and_renewed_ones_before(market, monkeypatch):
    model_id, plan_id, renewed = market.sold_licence(**MONTH, calls=5)
    cancelled = market.buy(plan_id)
    market.warp(31 * DAY)
    market.renew(renewed)
    late = market.buy(plan_id)
    market.cancel(cancelled)
    market.cancel(late)
    market.index()
    assert selectors.licence_ids_held(BUYER, model_id=model_id, limit=9) == [renewed, late, cancelled]
    assert selectors.licence_ids_held(BUYER, model_id=model_id, limit=2) == [renewed, late]
    monkeypatch.setattr(services, "CANDIDATE_LIMIT", 1)
    assert services.licence_require(holder=BUYER, model_id=model_id).licence_id == renewed


def test_holding_follows_every_event_and_is_nothing_in_the_end(market):
    _, _, licence_id = market.sold_licence(**MONTH, price=30_000, entryBps=1000)
    market.warp(3 * DAY)
    market.collect(licence_id)
    market.renew(licence_id)
    market.cancel(licence_id)
    market.index()
    rows = list(Holding.objects.filter(licence_id=licence_id).order_by("event"))
    assert (rows[0].amount, rows[0].taken) == (27_000, 0)
    assert rows[1].amount == 27_000
    assert rows[1].taken == rows[1].vested == 27_000 * (3 * DAY + 1) // (30 * DAY)
    assert (rows[-1].amount, rows[-1].taken) == (0, 0)


def test_licence_whose_key_was_delivered_has_nothing_left_to_come_back(market):
    _, _, licence_id = market.sold_licence(vesting=30 * DAY, flags=RUN | DOWNLOAD)
    market.index()
    assert selectors.licence_detail(licence_id).refund > 0
    deliver(market, licence_id, holder=BUYER)
    market.index()
    detail = selectors.licence_detail(licence_id)
    assert (detail.refund, detail.vested, detail.delivery.recipient_key) == (0, 1000, "0x" + "ab" * 32)
    assert detail.refund_at(detail.now + 1) == 0


def test_licence_transferred_takes_its_renewal_along(market):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.renew(licence_id)
    market.send("LicenceMarket", "transferFrom", [BUYER, OUTSIDER, licence_id], by=BUYER)
    market.index()
    (view,) = selectors.licence_list_for_holder(OUTSIDER)
    assert (view.licence.licence_id, view.renewal.payer) == (licence_id, BUYER)
    assert selectors.licence_list_for_holder(BUYER) == []


def test_licence_detail_of_an_unknown_id_is_not_found(market):
    with pytest.raises(LicenceNotFoundError):
        selectors.licence_detail(2**255)


def test_licence_list_takes_the_same_few_queries_however_many(market, django_assert_max_num_queries):
    _, plan_id, _ = market.sold_licence(**MONTH)
    for _ in range(4):
        market.buy(plan_id)
    market.index()
    with django_assert_max_num_queries(12):
        assert len(selectors.licence_list_for_holder(BUYER)) == 5


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({}, "at once: nothing comes back"),
        ({"price": 0}, "nothing to vest"),
        ({"vesting": 90 * DAY}, "evenly over 90 days"),
        ({"period": DAY, "vesting": DAY}, "evenly until the licence expires"),
        ({"vesting": 3600, "calls": 2}, "evenly over 1 hour, or as calls are used, whichever is more"),
    ],
)
def test_plan_says_how_its_price_vests(market, terms, text):
    plan_id = market.add_plan(market.publish(), **terms)
    market.index()
    assert selectors.plan_get(plan_id).vesting_text == text


def test_plan_says_whose_attestation_it_relies_on(market):
    model_id = market.publish()
    operator_id = market.register_operator(by=market.publisher)
    own = market.add_plan(model_id, calls=5, operatorId=operator_id, serviceBps=1250)
    other = market.add_plan(model_id, calls=5)
    market.send("LicenceMarket", "disableOperator", [market.operator_id], by=market.guardian)
    market.index()
    mine, theirs = selectors.plan_get(own), selectors.plan_get(other)
    assert (mine.is_operator_publisher, theirs.is_operator_publisher) == (True, False)
    assert mine.operator_text == f"operator {operator_id}, the publisher itself"
    assert theirs.operator_text.endswith("disabled: its reports do not count")
    assert (mine.service_text, mine.fee_text, mine.entry_share_text) == ("12.5 %", "0 %", "100 %")
    assert any("the publisher itself" in limit for limit in mine.limits)
