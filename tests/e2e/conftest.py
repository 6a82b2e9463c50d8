"""A real Chromium on a whole site, and people who sit in front of it with the demo wallet."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.e2e.chain_side import ChainSide
from tests.fixtures.processes import Anvil
from tests.fixtures.stack import Stack

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The machine is shared: a worker may take a while to load a model.
PATIENCE_MS = 90_000
expect.set_options(timeout=PATIENCE_MS)
# Places of the people among the node's accounts.
PUBLISHER, BUYER, SECOND_BUYER, SCRIPTER, UPLOADER, HOLDER = 1, 2, 3, 4, 8, 9


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("CHROMIUM IS NOT INSTALLED: the end-to-end tests did not run")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()


@dataclass
class Visitor:
    """A person with a browser of their own."""

    stack: Stack
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        # A poll of the page before may abort the first attempt.
        self.page.goto(self.stack.site_url + path, wait_until="domcontentloaded")

    @property
    def wallet(self) -> Any:
        """The demo wallet's window."""
        return self.page.locator("dialog.demo-wallet")

    def approve(self, *saying: str) -> None:
        """Read the wallet's question, then say yes."""
        for text in saying:
            expect(self.wallet).to_contain_text(text)
        self.wallet.locator("[data-demo=approve]").click()

    def reject(self, *saying: str) -> None:
        for text in saying:
            expect(self.wallet).to_contain_text(text)
        self.wallet.locator("[data-demo=reject]").click()

    def choose_account(self, place: int) -> None:
        expect(self.wallet).to_contain_text("Which account?")
        self.wallet.locator("input[name=account]").nth(place).check()
        self.wallet.locator("[data-demo=approve]").click()

    def sign_in(self, place: int, *, following: str = "/") -> None:
        self.open(f"/sign-in/?next={following}")
        self.page.locator('[data-wallet="example.weighhouse.demo"]').click()
        self.choose_account(place)
        self.approve("Sign this message?", "Sign in to Weighhouse", "Nonce:")
        self.page.wait_for_url(self.stack.site_url + following)

    def status(self, state: str, *, inside: str = "main") -> Any:
        """Wait until the status box inside `inside` is in this state."""
        box = self.page.locator(f"{inside} [data-status][data-state={state}]")
        expect(box).to_be_visible(timeout=PATIENCE_MS)
        return box

    def order(self, state: str) -> Any:
        """Wait until the page says that the last transaction is in this state."""
        shown = self.page.locator(f"[data-order-state={state}]").first
        expect(shown).to_be_visible(timeout=PATIENCE_MS)
        return shown

    def job(self, state: str) -> Any:
        shown = self.page.locator(f"[data-job-state={state}]")
        expect(shown).to_be_visible(timeout=PATIENCE_MS)
        return shown

    def buy(self, plan_number: int, *, approvals: tuple[str, ...]) -> int:
        """Buy on the model's page that is open. `approvals` are the wallet's questions in order. The licence's id."""
        self.page.locator(f"#plan-{plan_number} [data-buy] button").click()
        for question in approvals:
            self.approve(question)
        order = self.order("seen")
        expect(order).to_contain_text("Bought: the licence is yours.")
        link = order.get_by_role("link", name="Run the model").get_attribute("href") or ""
        return int(re.search(r"licence=(\d+)", link)[1])  # type: ignore[index]

    def figure(self, name: str) -> int:
        """A number that the page states in a data attribute, such as `data-refund`."""
        return int(self.page.locator(f"[{name}]").first.get_attribute(name) or "")

    def run(self, text: str) -> None:
        self.page.get_by_label("Text", exact=True).fill(text)
        self.page.get_by_role("button", name="Run", exact=True).click()

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Call the API from this person's session, as the page's scripts do."""
        token = self.page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
        response = self.page.request.fetch(
            self.stack.site_url + path,
            method=method,
            data=json.dumps(body) if body is not None else None,
            headers={"X-CSRFToken": token, "Content-Type": "application/json", "Referer": self.stack.site_url + "/"},
        )
        return response.status, response.json()


@pytest.fixture
def visit(browser: Browser, stack: Stack) -> Iterator[Callable[..., Visitor]]:
    """`visit()`: a new person. After the test, no page may have broken the policy or thrown an error."""
    visitors: list[Visitor] = []

    def arrive(site: Stack = stack, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        visitor = Visitor(site, context, context.new_page())
        visitor.page.set_default_timeout(PATIENCE_MS)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on("console", lambda message: _note(visitor, message))
        visitors.append(visitor)
        return visitor

    yield arrive
    for visitor in visitors:
        visitor.context.close()
        assert visitor.complaints == []


def _note(visitor: Visitor, message: ConsoleMessage) -> None:
    # A refusal by the API shows in the console as well; it is what such a test is about.
    if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
        visitor.complaints.append(message.text)


@pytest.fixture
def node(stack: Stack) -> Iterator[Anvil]:
    """The site's chain, asked past the site."""
    anvil = Anvil(stack.rpc_url, stack.spawned)
    yield anvil
    anvil.session.close()


@pytest.fixture
def chain_side(stack: Stack, node: Anvil) -> ChainSide:
    """The site's chain, moved and changed past the site."""
    book = json.loads((stack.var / "deployments" / "31337.json").read_text())
    return ChainSide(node, {name: entry["address"] for name, entry in book["contracts"].items()})


def model_path(visitor: Visitor, name: str) -> str:
    """The path of a listed model's page, found as a person finds it: by the search."""
    visitor.open("/")
    visitor.page.get_by_label("Search", exact=True).fill(name)
    visitor.page.get_by_role("button", name="Search").click()
    visitor.page.get_by_role("link", name=name).click()
    found = re.search(r"/models/\d+/$", visitor.page.url)
    assert found, visitor.page.url
    return found[0]


@pytest.fixture
def directory_of(tmp_path: Path) -> Callable[[Path], Path]:
    """`directory_of(model)`: a copy of a model's directory, with a card, for a person to choose."""

    def copy(source: Path) -> Path:
        target = tmp_path / "model"
        shutil.copytree(source, target)
        (target / "README.md").write_text("# Tiny\n\nMade for a test.\n")
        return target

    return copy
