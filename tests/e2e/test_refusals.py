"""What a contract refuses is said in words: before the wallet opens where a trial can know it, after where not."""

import pytest
from playwright.sync_api import expect

from chain import abi
from tests.e2e.conftest import HOLDER, PUBLISHER, SCRIPTER, model_path
from tests.e2e.wallets import other_wallet

pytestmark = pytest.mark.e2e

ADMIN = 0


@pytest.fixture
def sold(visit, chain_side):
    """`sold(**terms)`: a buyer in front of a new plan of Market days. Visitor, plan's number, model's id."""

    def prepare(**terms):
        buyer = visit()
        path = model_path(buyer, "Market days")
        model = int(path.split("/")[2])
        plan = chain_side.add_plan(model, by=PUBLISHER, **terms)
        buyer.sign_in(HOLDER, following=path)
        number = plan & 0xFFFFFFFF
        box = buyer.page.locator(f"#plan-{number}")
        for _ in range(60):
            if box.count():
                break
            buyer.page.wait_for_timeout(500)
            buyer.page.reload()
        return buyer, number, model

    return prepare


def press_buy(visitor, number: int) -> None:
    visitor.page.locator(f"#plan-{number} [data-buy] button").click()


def test_plan_retired_under_the_buyer_is_said_before_anything_is_signed(sold, chain_side):
    buyer, number, model = sold()
    chain_side.send("LicenceMarket", "retirePlan", [model << 32 | number], by=PUBLISHER)
    press_buy(buyer, number)
    expect(buyer.status("reverted")).to_contain_text("The publisher retired this plan")
    expect(buyer.status("reverted")).to_contain_text("Nothing was sent.")
    expect(buyer.wallet).to_have_count(0)


def test_paused_market_is_said_before_anything_is_signed(sold, chain_side):
    buyer, number, _model = sold()
    chain_side.send("LicenceMarket", "setPaused", [True], by=ADMIN)
    try:
        press_buy(buyer, number)
        expect(buyer.status("reverted")).to_contain_text("Buying and renewing are paused at the market.")
    finally:
        chain_side.send("LicenceMarket", "setPaused", [False], by=ADMIN)


def test_suspended_model_is_said_before_anything_is_signed_and_on_its_page(sold, chain_side):
    buyer, number, model = sold()
    chain_side.send("LicenceMarket", "suspend", [model, b"\x01" * 32], by=ADMIN)
    try:
        press_buy(buyer, number)
        expect(buyer.status("reverted")).to_contain_text("The model is suspended by the market's guardian")
        expect(buyer.page.locator(f"#plan-{number}")).not_to_contain_text("Suspended by")
        for _ in range(30):
            buyer.page.reload()
            if buyer.page.locator(f"#plan-{number}", has_text="Suspended by the market's guardian").count():
                break
            buyer.page.wait_for_timeout(500)
        expect(buyer.page.locator(f"#plan-{number}")).to_contain_text("not sold at the moment")
    finally:
        chain_side.send("LicenceMarket", "resume", [model], by=ADMIN)


def test_token_that_is_not_allowed_any_more_is_said_before_anything_is_signed(sold, chain_side):
    buyer, number, _model = sold()
    chain_side.send("LicenceMarket", "setTokenAllowed", [chain_side.book["TestUSD"], False], by=ADMIN)
    try:
        press_buy(buyer, number)
        expect(buyer.status("reverted")).to_contain_text("The market does not accept this token")
    finally:
        chain_side.send("LicenceMarket", "setTokenAllowed", [chain_side.book["TestUSD"], True], by=ADMIN)


def test_price_beyond_the_balance_is_said_before_anything_is_signed(sold):
    buyer, number, _model = sold(price=10**15)
    press_buy(buyer, number)
    expect(buyer.status("failed")).to_contain_text("holds too little of the token to pay 1000000000 TestUSD")
    expect(buyer.wallet).to_have_count(0)


def test_permit_that_expired_meanwhile_is_said_after_the_wallet_tried(sold, chain_side):
    buyer, number, _model = sold()
    before = chain_side.usd_of(HOLDER)
    press_buy(buyer, number)
    buyer.approve("Sign this permission?", "take 1 TestUSD")
    expect(buyer.wallet).to_contain_text("Buy a licence under plan")
    chain_side.warp(3600)
    buyer.approve("Paid with the permit that you signed")
    expect(buyer.status("reverted")).to_contain_text("Your permit is not valid (any more)")
    assert chain_side.usd_of(HOLDER) == before
    # Another one buys.
    press_buy(buyer, number)
    buyer.approve("Sign this permission?")
    buyer.approve("Buy a licence under plan")
    expect(buyer.order("seen")).to_contain_text("Bought")


def test_permit_that_is_rejected_sends_nothing(sold):
    buyer, number, _model = sold()
    press_buy(buyer, number)
    buyer.reject("Sign this permission?")
    expect(buyer.status("rejected")).to_contain_text("Nothing was sent and nothing was paid.")


def test_sold_out_between_page_and_button_is_said_in_words(sold, chain_side, visit):
    buyer, number, model = sold(supply=1, price=0)
    plan = model << 32 | number
    chain_side.send(
        "LicenceMarket",
        "buy",
        [plan, chain_side.read("LicenceMarket", "planHash", [plan]), chain_side.node.accounts[SCRIPTER]],
        by=SCRIPTER,
    )
    press_buy(buyer, number)
    expect(buyer.status("reverted")).to_contain_text("All 1 licences of this plan are taken.")


def test_wallet_without_typed_data_approves_and_buys(visit, node, chain_side):
    stranger = visit()
    stranger.page.add_init_script(other_wallet(node.accounts[HOLDER], chain=31337, knows=True, types=False))
    path = model_path(stranger, "Market days")
    stranger.open(f"/sign-in/?next={path}")
    stranger.page.get_by_role("button", name="Other wallet").click()
    stranger.page.wait_for_url(stranger.stack.site_url + path)
    sent = int(node.rpc("eth_getTransactionCount", node.accounts[HOLDER], "latest"), 16)
    before = chain_side.usd_of(HOLDER)
    press_buy(stranger, 2)
    expect(stranger.order("seen")).to_contain_text("Bought: the licence is yours.")
    assert int(node.rpc("eth_getTransactionCount", node.accounts[HOLDER], "latest"), 16) == sent + 2
    assert before - chain_side.usd_of(HOLDER) == 1_000_000


def test_token_without_permits_that_returns_nothing_is_approved_first(visit, node, chain_side):
    buyer = visit()
    path = model_path(buyer, "Market days")
    model = int(path.split("/")[2])
    token = chain_side.plain_token(holder=HOLDER)
    plan = chain_side.add_plan(model, by=PUBLISHER, token=token, price=777_777)
    buyer.sign_in(HOLDER, following=path)
    for _ in range(60):
        if buyer.page.locator(f"#plan-{plan & 0xFFFFFFFF}").count():
            break
        buyer.page.wait_for_timeout(500)
        buyer.page.reload()
    # An allowance of before, which this token wants taken back first.
    allow = abi.call_encode("TestUSD", "approve", [chain_side.book["LicenceMarket"], 5])
    chain_side.transact({"to": token, "data": allow}, by=HOLDER)
    # Its name is a stranger's word, so that the wallet and the page show the amount in its smallest unit.
    amounts = tuple(f"take {amount} of the smallest unit of token" for amount in (0, 777_777))
    buyer.buy(plan & 0xFFFFFFFF, approvals=(*amounts, "Buy a licence under plan"))
