"""Wrong chain, foreign wallets, a dead node: each has its own words and nothing is half-done."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import BUYER, HOLDER, PUBLISHER, SCRIPTER, model_path
from tests.e2e.wallets import RDNS, other_wallet
from tools.demo.supervisor import BLOCK_TIME_S

pytestmark = pytest.mark.e2e

NATIVE = "0x" + "00" * 20


def test_wallet_on_another_chain_is_offered_the_switch(visit, node):
    stranger = visit()
    stranger.page.add_init_script(other_wallet(node.accounts[BUYER], chain=1, knows=True))
    stranger.open("/sign-in/")
    stranger.page.locator(f'[data-wallet="{RDNS}"]').click()
    expect(stranger.status("wrong-chain")).to_contain_text("Your wallet is on chain 1")
    stranger.page.get_by_role("button", name="Switch to chain 31337").click()
    stranger.page.wait_for_url(f"{stranger.stack.site_url}/")
    stranger.open("/licences/")
    expect(stranger.page.get_by_role("heading", name="My licences")).to_be_visible()


def test_wallet_that_does_not_know_the_chain_is_told_to_add_it(visit, node):
    stranger = visit()
    stranger.page.add_init_script(other_wallet(node.accounts[BUYER], chain=10, knows=False))
    stranger.open("/sign-in/")
    stranger.page.locator(f'[data-wallet="{RDNS}"]').click()
    stranger.page.get_by_role("button", name="Switch to chain 31337").click()
    expect(stranger.status("wrong-chain")).to_contain_text("does not know chain 31337")


def test_wallet_with_a_remote_icon_shows_its_name_alone(visit, node):
    stranger = visit()
    stranger.page.add_init_script(other_wallet(node.accounts[BUYER], chain=31337, knows=True))
    stranger.open("/sign-in/")
    button = stranger.page.locator(f'[data-wallet="{RDNS}"]')
    expect(button).to_have_text("Other wallet")
    expect(button.locator("img")).to_have_count(0)


def test_dead_node_shows_a_banner_and_reading_goes_on(visit, stack):
    visitor = visit()
    path = model_path(visitor, "Market days")
    visitor.sign_in(BUYER, following=path)
    banner = visitor.page.locator("[data-chain-banner]")
    expect(banner).to_have_count(0)
    with stack.paused("chain"):
        for _ in range(60):
            visitor.open(path)
            if banner.count():
                break
            visitor.page.wait_for_timeout(1000)
        expect(banner).to_contain_text("The chain node does not answer.")
        expect(banner).to_contain_text("buying and publishing wait")
        expect(visitor.page.get_by_role("heading", name="Market days").first).to_be_visible()
        visitor.open("/status/")
        expect(visitor.page.locator("#chain-facts")).to_contain_text("chain.node_unavailable")
        # A licence that is named is asked about on chain, whoever holds it.
        job = {"model": path.split("/")[2], "inputs": "x", "licence": "1"}
        status, problem = visitor.api("POST", "/api/v1/jobs", job)
        assert (status, problem["code"]) == (503, "chain.node_unavailable")
    for _ in range(60):
        visitor.open("/")
        if not banner.count():
            break
        visitor.page.wait_for_timeout(1000)
    expect(banner).to_have_count(0)


@pytest.fixture
def before_paying(visit, chain_side):
    """`before_paying(place)`: a person in front of a new plan of Market days for 0.001 ETH. Visitor and button."""

    def prepare(place: int):
        buyer = visit()
        path = model_path(buyer, "Market days")
        model = int(path.split("/")[2])
        number = chain_side.add_plan(model, by=PUBLISHER, token=NATIVE, price=10**15) & 0xFFFFFFFF
        buyer.sign_in(place, following=path)
        button = buyer.page.locator(f"#plan-{number} [data-buy] button")
        for _ in range(60):
            if button.count():
                break
            buyer.page.wait_for_timeout(500)
            buyer.page.reload()
        return buyer, button

    return prepare


def orders_of(visitor) -> list[dict]:
    return visitor.api("GET", "/api/v1/orders")[1]["results"]


def test_purchase_of_a_page_that_was_closed_before_it_told_the_hash_is_found_again(before_paying, node):
    buyer, button = before_paying(SCRIPTER)
    account = node.accounts[SCRIPTER]
    sent = int(node.rpc("eth_getTransactionCount", account, "latest"), 16)
    # What the page would tell never arrives, and then the page is gone.
    buyer.context.route("**/api/v1/orders/*", lambda route: route.abort())
    button.click()
    buyer.approve("Pays 0.001 ETH.")
    buyer.status("unknown")
    # Counted with those that wait for a block, which comes a moment later.
    assert int(node.rpc("eth_getTransactionCount", account, "pending"), 16) == sent + 1
    buyer.page.close()
    buyer.page = buyer.context.new_page()
    buyer.open("/licences/")
    order = {}
    for _ in range(90):
        (order, *_older) = orders_of(buyer)
        if order["state"] == "seen":
            break
        buyer.page.wait_for_timeout(1000)
    assert (order["state"], order["nonce"]) == ("seen", sent)
    buyer.open("/licences/")
    expect(buyer.page.get_by_text(order["licence"], exact=True)).to_be_visible()


def test_purchase_that_was_cancelled_in_the_wallet_says_so(before_paying, node):
    buyer, button = before_paying(HOLDER)
    account = node.accounts[HOLDER]
    node.rpc("evm_setIntervalMining", 0)
    try:
        button.click()
        buyer.approve("Pays 0.001 ETH.")
        expect(buyer.order("pending")).to_contain_text("Waiting for a block.")
        nonce = hex(int(node.rpc("eth_getTransactionCount", account, "latest"), 16))
        fees = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11), "gas": hex(21_000)}
        node.rpc("eth_sendTransaction", {"from": account, "to": account, "value": "0x0", "nonce": nonce, **fees})
    finally:
        node.rpc("evm_setIntervalMining", BLOCK_TIME_S)
        node.rpc("evm_mine")
    expect(buyer.order("cancelled")).to_contain_text("Nothing was bought or changed")
    (order, *_older) = orders_of(buyer)
    assert (order["state"], order["licence"]) == ("cancelled", None)


def test_purchase_that_was_rejected_in_the_wallet_is_not_awaited(before_paying):
    buyer, button = before_paying(HOLDER)
    button.click()
    buyer.reject("Pays 0.001 ETH.")
    expect(buyer.status("rejected")).to_contain_text("Nothing was sent and nothing was paid.")
    (order, *_older) = orders_of(buyer)
    assert (order["state"], order["tx_hash"]) == ("abandoned", None)
