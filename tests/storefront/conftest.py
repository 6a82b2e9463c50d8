"""A listed model on the test chain, and a reader of pages."""

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from django.test import Client

from marketplace.accounts.models import Account
from models_registry.models import Release, ReleaseState
from tests.fixtures.contracts import Market

DIGEST = "0x" + "5a" * 32
CARD = "# A card\n\nWords of the publisher. ![a plot](https://images.example/plot.png)\n"


@dataclass
class Listed:
    """A model that is listed and sold under one plan."""

    model_id: int
    plan_id: int
    release: Release
    market: Market

    @property
    def url(self) -> str:
        return f"/models/{self.model_id}/"


def release_make(digest: str, publisher: str, **fields: object) -> Release:
    defaults = {
        "state": ReleaseState.READY,
        "publisher": publisher,
        "name": "Scales",
        "summary": "Weighs sentences.",
        "task": "feature-extraction",
        "licence": "Apache-2.0",
        "card": CARD,
        "total_bytes": 1_500_000,
    }
    return Release.objects.create(digest=digest, **(defaults | fields))


@pytest.fixture
def listed(market: Market, db) -> Listed:
    release = release_make(DIGEST, market.publisher)
    model_id = market.publish(DIGEST)
    plan_id = market.add_plan(model_id, token=market.usd, price=2_500_000, period=30 * 86_400)
    market.index()
    return Listed(model_id, plan_id, release, market)


@pytest.fixture
def holder(listed: Listed, buyer: Account) -> Account:
    """The buyer, who has bought."""
    listed.market.buy(listed.plan_id)
    listed.market.index()
    return buyer


@pytest.fixture
def anonymous() -> Client:
    return Client()


class PageReader(HTMLParser):
    """What a page is made of: its tags with their attributes, its text, the content of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inline: list[str] = []
        self._raw = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._raw = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._raw:
            self._raw = ""

    def handle_data(self, data: str) -> None:
        (self.inline if self._raw else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def read() -> Callable[..., PageReader]:
    """`read(response)`: the page in pieces."""
    return lambda response: PageReader(response.content.decode())
