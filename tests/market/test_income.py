"""Where a publisher's, an operator's and an ancestor's money sits, against the market's own books."""

import pytest

from chain.gateway.errors import NodeUnavailable
from marketplace.licences import selectors
from marketplace.licences.errors import OperatorNotFoundError
from marketplace.licences.models import AncestorCredit, IncomeSplit, Withdrawal
from marketplace.licences.selectors import income as income_selectors
from marketplace.licences.shares import shares_of
from tests.fixtures.contracts import NATIVE, RENEWABLE, RUN
from tests.fixtures.people import BUYER, OUTSIDER, PUBLISHER

pytestmark = pytest.mark.django_db
DAY = 24 * 3600
PRICE = 10**15 + 77
MONTH = {"price": PRICE, "period": 30 * DAY, "vesting": 30 * DAY, "flags": RUN | RENEWABLE}


def income_of(market, model_id: int, token: str = NATIVE) -> selectors.IncomeView:
    market.index()
    (view,) = [view for view in selectors.income_for_models([model_id])[model_id] if view.token == token]
    return view


@pytest.fixture
def fee(market) -> int:
    market.send("LicenceMarket", "setFeeBps", [200], by=market.admin)
    return 200


def test_income_of_plans_that_vest_at_once_waits_for_a_split(market):
    model_id = market.publish()
    native, dollars = market.add_plan(model_id, price=700), market.add_plan(model_id, token=market.usd, price=5)
    for plan_id in (native, native, dollars):
        market.buy(plan_id)
    before = income_of(market, model_id)
    assert (before.held, before.vested, before.unsplit, before.available, before.earned) == (0, 0, 1400, 0, 0)
    market.split(native)
    market.withdraw(model_id)
    market.buy(native)
    market.split(native)
    market.index()
    income = {view.token: view for view in selectors.income_for_owner(PUBLISHER)}
    assert (income[NATIVE].earned, income[NATIVE].withdrawn, income[NATIVE].available) == (2100, 1400, 700)
    assert (income[market.usd].unsplit, income[market.usd].available) == (5, 0)
    assert Withdrawal.objects.get().to_address == PUBLISHER
    assert selectors.income_for_owner(OUTSIDER) == []


def test_income_follows_the_models_token(market):
    model_id, plan_id, _ = market.sold_licence()
    market.split(plan_id)
    market.send("ModelRegistry", "transferFrom", [PUBLISHER, OUTSIDER, model_id], by=PUBLISHER)
    market.index()
    assert selectors.income_for_owner(PUBLISHER) == []
    assert [view.available for view in selectors.income_for_owner(OUTSIDER)] == [1000]


def test_income_that_vests_is_held_then_vested_then_collected_then_split(market):
    model_id, plan_id, licence_id = market.sold_licence(**MONTH)
    assert (income_of(market, model_id).held, income_of(market, model_id).vested) == (PRICE, 0)
    market.warp(10 * DAY)
    view = income_of(market, model_id)
    assert (view.vested, view.held, view.unsplit) == (PRICE * 10 // 30, PRICE - PRICE * 10 // 30, 0)
    assert view.plans[0].collectable == [[licence_id]]
    assert not view.plans[0].is_split_due
    market.collect(licence_id)
    view = income_of(market, model_id)
    assert view.unsplit == view.plans[0].earned >= PRICE * 10 // 30
    assert (view.vested, view.plans[0].collectable, view.plans[0].is_split_due) == (0, [], True)
    assert view.plans[0].publisher_unsplit == view.unsplit
    market.split(plan_id)
    assert income_of(market, model_id).available == view.unsplit
    assert view.held_text.endswith(" ETH")


def test_income_adds_up_to_what_was_paid_whatever_happened(market, fee):
    model_id = market.publish()
    plan_id = market.add_plan(model_id, **MONTH, calls=50, serviceBps=1500, entryBps=500)
    licences = [market.buy(plan_id) for _ in range(3)]
    market.warp(4 * DAY)
    market.report_usage({licences[0]: 20})
    market.renew(licences[1])
    market.collect(*licences)
    market.split(plan_id)
    market.cancel(licences[2])
    market.warp(7 * 3600)
    refund = market.settle(licences[2])
    market.withdraw_account(by=market.operator_payee)
    view = income_of(market, model_id)
    shares = shares_of(view.plans[0].earned, fee_bps=fee, service_bps=1500)
    assert view.held + view.vested + view.plans[0].earned + refund == 4 * PRICE
    split = IncomeSplit.objects.get()
    assert split.amount + view.unsplit == view.plans[0].earned
    assert split.publisher + view.plans[0].publisher_unsplit == shares.publisher
    assert view.available == split.publisher
    assert split.treasury == market.treasury
    payee = {row.token: row for row in selectors.operator_income_for_payee(market.operator_payee)}[NATIVE]
    assert (payee.earned, payee.withdrawn, payee.available) == (split.service, split.service, 0)
    (treasury,) = selectors.operator_income_for_payee(market.treasury)
    assert (treasury.earned, treasury.available) == (split.fee, split.fee)


def test_income_of_an_ancestor_is_its_share_and_a_reorg_takes_it_back(market, fee):
    parent = market.publish(by=market.outsider, derivative_bps=1000)
    child = market.publish(b"\x02" * 32, parents=[(parent, 1000)])
    plan_id = market.add_plan(child, price=10_000)
    market.buy(plan_id)
    before = income_of(market, child)
    assert [(share.kind, share.bps, share.unsplit) for share in before.plans[0].shares] == [
        ("fee", 200, 200),
        ("ancestor", 1000, 980),
        ("publisher", 9000, 8820),
    ]
    market.split(plan_id)
    view = income_of(market, parent)
    assert (view.available, view.earned, view.plans) == (980, 980, [])
    assert [found.available for found in selectors.income_for_owner(OUTSIDER)] == [980]
    assert income_of(market, child).available == 8820
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.index()
    assert selectors.income_for_models([parent]) == {parent: []}
    assert not AncestorCredit.objects.exists()


def test_income_names_licences_worth_collecting_in_batches_the_contract_takes(market, monkeypatch):
    model_id = market.publish()
    plan_id = market.add_plan(model_id, **MONTH)
    first, second, third = (market.buy(plan_id) for _ in range(3))
    market.warp(DAY)
    market.collect(second)
    monkeypatch.setattr(income_selectors, "COLLECT_BATCH", 2)
    view = income_of(market, model_id)
    assert view.plans[0].collectable == [[first, third]], "what was collected in this block has nothing more to give"
    market.warp(60)
    view = income_of(market, model_id)
    assert view.plans[0].collectable == [[first, third], [second]]


def test_income_counts_licences_beyond_those_asked_about_as_held(market, monkeypatch):
    model_id = market.publish()
    plan_id = market.add_plan(model_id, **MONTH)
    market.buy(plan_id), market.buy(plan_id)
    market.warp(15 * DAY)
    monkeypatch.setattr(income_selectors, "ASKED_LIMIT", 1)
    view = income_of(market, model_id)
    assert (view.plans[0].unasked, view.held + view.vested) == (1, 2 * PRICE)
    assert PRICE // 2 <= view.vested < PRICE * 16 // 30


def test_income_with_a_dead_node_says_so(market, settings):
    model_id, _, _ = market.sold_licence(**MONTH)
    market.index()
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    with pytest.raises(NodeUnavailable):
        selectors.income_for_models([model_id])


def test_operator_is_listed_with_its_newest_key_and_a_reorg_gives_the_old_one_back(market):
    operator_id = market.register_operator(by=OUTSIDER)
    market.send("LicenceMarket", "setOperator", [operator_id, BUYER, PUBLISHER], by=OUTSIDER)
    market.index()
    (view,) = selectors.operator_list_for_owner(OUTSIDER)
    assert (view.operator_id, view.key, view.payee, view.is_disabled) == (operator_id, BUYER, PUBLISHER, False)
    market.anvil.rpc("anvil_rollback", 1)
    market.mine(2)
    market.send("LicenceMarket", "disableOperator", [operator_id], by=market.guardian)
    market.index()
    view = selectors.operator_get(operator_id)
    assert (view.key, view.payee, view.is_disabled) == (OUTSIDER, OUTSIDER, True)


def test_operator_detail_has_its_plans_and_what_they_earn_it(market):
    model_id = market.publish()
    plan_id = market.add_plan(model_id, price=1000, calls=5, serviceBps=3000)
    market.buy(plan_id)
    market.split(plan_id)
    market.buy(plan_id)
    market.index()
    detail = selectors.operator_detail(market.operator_id)
    assert ([plan.plan_id for plan in detail.plans], detail.plan_count) == ([plan_id], 1)
    assert (detail.service_earned, detail.unsplit) == ({NATIVE: 300}, {NATIVE: 300})
    assert [row.available for row in detail.payee_income if row.token == NATIVE] == [300]
    assert detail.unsplit_texts == ["0.0000000000000003 ETH"]


@pytest.mark.parametrize("operator_id", [0, 99, 2**32, 2**256 - 1])
def test_operator_that_does_not_exist_is_not_found(market, operator_id):
    with pytest.raises(OperatorNotFoundError):
        selectors.operator_get(operator_id)
