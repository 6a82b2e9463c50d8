"""Wrong chain, foreign wallets, a dead node: each has its own words and nothing is half-done."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import BUYER, model_path
from tests.e2e.wallets import RDNS, other_wallet

pytestmark = pytest.mark.e2e


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
