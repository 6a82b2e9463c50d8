"""Money from end to end, as people see it: bought, used, left, renewed, settled; collected, split, withdrawn."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.chain_side import DAY
from tests.e2e.conftest import HOLDER, PUBLISHER, SCRIPTER, UPLOADER, model_path
from tests.e2e.test_publishing import upload

pytestmark = pytest.mark.e2e

MONTH = 30 * DAY
OPERATOR_KEY, OPERATOR_PAYEE = 6, 7


def started_at(node, licence: int, market: str) -> int:
    """Block time of the purchase, asked of the node's logs: the mint of the token."""
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    topics = [transfer, "0x" + "00" * 32, None, f"0x{licence:064x}"]
    (log,) = node.rpc("eth_getLogs", {"fromBlock": "0x0", "address": market, "topics": topics})
    return int(node.rpc("eth_getBlockByNumber", log["blockNumber"], False)["timestamp"], 16)


def test_month_is_bought_used_and_left_and_pays_back_to_the_unit_what_the_page_said(visit, node, chain_side):
    buyer = visit()
    path = model_path(buyer, "Review sentiment")
    buyer.sign_in(HOLDER, following=path)
    licence = buyer.buy(1, approvals=("take 2 TestUSD", "Buy a licence under plan"))
    buyer.page.get_by_role("link", name="Run the model").click()
    buyer.run("The soup was hot and the waiter was kind.")
    buyer.job("succeeded")

    chain_side.warp(5 * DAY)
    buyer.open("/licences/")
    row = buyer.page.get_by_role("row").filter(has_text=str(licence))
    row.get_by_role("link", name="Refund").click()
    expect(buyer.page.locator("svg path.vested")).to_be_visible()
    buyer.page.get_by_role("link", name="Cancel this licence").click()
    promised, until = buyer.figure("data-refund-least"), buyer.figure("data-least-until")
    # The contract's rule, by hand: 5 % of 2 TestUSD at once, the rest evenly over the month.
    held, begun = 1_900_000, started_at(node, licence, chain_side.book["LicenceMarket"])
    assert promised == held - held * (until - begun) // MONTH

    before = chain_side.usd_of(HOLDER)
    buyer.page.get_by_role("button", name="Cancel the licence for good").click()
    expect(buyer.wallet).to_contain_text(f"Cancel licence {licence}: it ends at once, for good.")
    chain_side.next_block_at(until)
    buyer.approve("What has not vested is paid to")
    expect(buyer.order("seen")).to_contain_text("Cancelled: the licence has ended.")
    assert chain_side.usd_of(HOLDER) - before == promised

    buyer.page.get_by_role("link", name="Show the licence").click()
    expect(buyer.page.locator("[data-licence-state=settled]")).to_be_visible()
    expect(buyer.page.locator("#money")).to_contain_text(f"Settled: {promised / 10**6:.6f}".rstrip("0"))
    status, problem = buyer.api(
        "POST", "/api/v1/jobs", {"model": path.split("/")[2], "inputs": "x", "licence": str(licence)}
    )
    assert (status, problem["code"]) in {(403, "licence.none"), (403, "licence.settled"), (403, "licence.cancelled")}


def test_month_is_renewed_and_what_had_not_vested_is_held_on(visit, node, chain_side):
    buyer = visit()
    path = model_path(buyer, "Review sentiment")
    buyer.sign_in(HOLDER, following=path)
    licence = buyer.buy(1, approvals=("take 2 TestUSD", "Buy a licence under plan"))
    begun = started_at(node, licence, chain_side.book["LicenceMarket"])
    chain_side.warp(12 * DAY)
    buyer.open(f"/licences/{licence}/")
    expect(buyer.page.locator("#renew")).to_contain_text("is not lost: it is held on together with 1.9 TestUSD")
    buyer.page.get_by_role("button", name="Renew for 2 TestUSD").click()
    buyer.approve("take 2 TestUSD")
    buyer.approve(f"Renew licence {licence} for another term.")
    expect(buyer.order("seen")).to_contain_text("Renewed: a new term has begun.")
    buyer.page.get_by_role("link", name="Show the licence").click()
    renewed_at = chain_side.read("LicenceMarket", "licenceStates", [[licence]])[0]["start"]
    rest = 1_900_000 - 1_900_000 * (renewed_at - begun) // MONTH
    state = chain_side.read("LicenceMarket", "licenceStates", [[licence]])[0]
    assert state["amount"] == rest + 1_900_000
    assert state["expiry"] == begun + 2 * MONTH
    refund, at = buyer.figure("data-refund"), buyer.figure("data-block-time")
    assert refund == state["amount"] - state["amount"] * (at - renewed_at) // (state["expiry"] - renewed_at)


def test_metered_licence_is_cancelled_reported_and_settled_after_six_hours(visit, chain_side):
    buyer = visit()
    path = model_path(buyer, "Market days")
    buyer.sign_in(HOLDER, following=path)
    licence = buyer.buy(2, approvals=("take 1 TestUSD", "Buy a licence under plan"))
    buyer.open(f"/licences/{licence}/cancel/")
    expect(buyer.page.locator("main")).to_contain_text("the operator may still report some for six hours")
    buyer.page.get_by_role("button", name="Cancel the licence for good").click()
    buyer.approve(f"Cancel licence {licence}")
    expect(buyer.order("seen")).to_contain_text("Cancelled: the licence has ended.")
    # The operator reports what was used, in time. 30 of 50 calls vest more than the minutes that passed.
    chain_side.send("LicenceMarket", "reportUsage", [[licence], [30]], by=OPERATOR_KEY)

    buyer.open(f"/licences/{licence}/")
    expect(buyer.page.locator("[data-licence-state=cancelled]")).to_be_visible()
    expect(buyer.page.locator("#settle")).to_contain_text("The operator may report calls until")
    expect(buyer.page.get_by_role("button", name="Settle")).to_have_count(0)
    chain_side.warp(6 * 3600)
    buyer.open(f"/licences/{licence}/")
    before = chain_side.usd_of(HOLDER)
    buyer.page.get_by_role("button", name="Settle: 0.38 TestUSD to the holder").click()
    buyer.approve(f"Settle licence {licence}: what has not vested is paid to")
    expect(buyer.order("seen")).to_contain_text("Settled: what had not vested is paid.")
    # 95 % of 1 TestUSD was held, and 30 of 50 calls of it vested.
    assert chain_side.usd_of(HOLDER) - before == 380_000


def test_income_is_collected_split_and_withdrawn_by_publisher_operator_and_ancestor(
    visit, chain_side, tiny_classifier, directory_of
):
    publisher = visit()
    parent = int(model_path(publisher, "Review sentiment").split("/")[2])
    publisher.sign_in(UPLOADER, following="/publish/")
    _publish_derived(publisher, directory_of(tiny_classifier), parent=parent)
    publisher.open("/my/models/")
    box = publisher.page.locator("section.panel").filter(has_text="Tiny and derived")
    _price_it(publisher, box)

    buyer = visit()
    path = model_path(buyer, "Tiny and derived")
    buyer.sign_in(HOLDER, following=path)
    expect(buyer.page.locator("#plan-1")).to_contain_text("The price vests evenly over 1 day.")
    buyer.buy(1, approvals=("take 10 TestUSD", "Buy a licence under plan"))
    chain_side.warp(DAY)
    _collect_and_split(publisher, box)

    # 2 % fee and 10 % service leave 8.8, of which the ancestor has a tenth.
    expect(box.locator("[data-figure=available]")).to_have_text("7.92 TestUSD")
    _withdraw_and_count(publisher, chain_side, UPLOADER, box=box, units=7_920_000)
    operator = visit()
    operator.sign_in(OPERATOR_PAYEE, following="/operators/")
    shown = operator.page.locator("#income")
    expect(shown).to_contain_text("1 TestUSD")
    _withdraw_and_count(operator, chain_side, OPERATOR_PAYEE, box=shown, units=1_000_000)
    ancestor = visit()
    ancestor.sign_in(PUBLISHER, following="/my/models/")
    box = ancestor.page.locator(f"#model-{parent}")
    expect(box).to_contain_text("Tiny and derived pays 10 %")
    _withdraw_and_count(ancestor, chain_side, PUBLISHER, box=box, units=880_000)


def _publish_derived(publisher, directory, *, parent: int) -> None:
    upload(publisher, directory, name="Tiny and derived", task="text-classification")
    publisher.page.wait_for_url(re.compile("/publish/0x[0-9a-f]{64}/"))
    expect(publisher.page.locator("[data-release-state=ready]")).to_be_visible()
    publisher.page.locator("summary", has_text="Made from other models").click()
    publisher.page.get_by_label("Model id").first.fill(str(parent))
    publisher.page.get_by_label("Its share in %").first.fill("10")
    publisher.page.get_by_role("button", name="Sign and publish").click()
    publisher.approve(f"It was made from model {parent}, which gets 10 % of what it earns.")
    publisher.order("seen")
    publisher.page.get_by_role("link", name="Go on").click()
    expect(publisher.page.locator("[data-release-state=listed]")).to_be_visible()


def _price_it(publisher, box) -> None:
    """10 TestUSD for ever, vesting over a day, a tenth for this site's operator."""
    box.locator("summary", has_text="Add a plan").click()
    box.get_by_label("Price").first.fill("10")
    box.get_by_label("Period in days").fill("0")
    box.get_by_label("Vesting of a perpetual licence, in days").fill("1")
    box.get_by_label("Operator's share in %").fill("10")
    box.get_by_role("button", name="Add the plan").click()
    publisher.approve("The price vests over 1 day", "Protocol fee 2 %, operator 1 gets 10 %")
    expect(publisher.order("seen")).to_contain_text("The plan is on sale.")


def _collect_and_split(publisher, box) -> None:
    """What has vested becomes the plan's income, and the income credits, each by the button of its figure."""
    publisher.open("/my/models/")
    expect(box.locator("[data-figure=vested]")).to_have_text("10 TestUSD")
    box.get_by_role("button", name="Collect from 1 licence").click()
    publisher.approve("Move what has vested of 1 licence")
    expect(publisher.order("seen")).to_contain_text("Collected")
    publisher.open("/my/models/")
    expect(box.locator("[data-figure=unsplit]")).to_have_text("10 TestUSD")
    box.get_by_role("button", name="Split 10 TestUSD of plan 1").click()
    publisher.approve("Share out the income of plan")
    expect(publisher.order("seen")).to_contain_text("Split: each share is credited.")
    publisher.open("/my/models/")


def _withdraw_and_count(visitor, chain_side, place: int, *, box, units: int) -> None:
    before = chain_side.usd_of(place)
    box.get_by_role("button", name="Withdraw").click()
    visitor.approve("Withdraw")
    expect(visitor.order("seen")).to_contain_text("Withdrawn.")
    assert chain_side.usd_of(place) - before == units


def test_operator_registers_and_rotates_its_key(visit, node):
    person = visit()
    person.sign_in(SCRIPTER, following="/operators/")
    key, newer = node.accounts[2], node.accounts[3]
    person.page.get_by_label("Key: the address that attests use").fill("0x1234")
    person.page.get_by_role("button", name="Register").click()
    expect(person.status("failed")).to_contain_text("The key is not an address")
    person.page.get_by_label("Key: the address that attests use").fill(key)
    person.page.get_by_role("button", name="Register").click()
    person.approve("Register an operator that your account owns.")
    expect(person.order("seen")).to_contain_text("Registered as operator")
    person.page.get_by_role("link", name="Show the operator").click()
    expect(person.page.locator(".badges")).to_contain_text("yours")
    person.page.get_by_label("Key: the address that attests use").fill(newer)
    person.page.get_by_role("button", name="Change").click()
    person.approve("From now on its key")
    expect(person.order("seen")).to_contain_text("is changed")
    person.page.reload()
    expect(person.page.locator(f'code[title="{newer}" i]')).to_be_visible()
