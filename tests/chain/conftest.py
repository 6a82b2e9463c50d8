"""The chain layer is tested without the apps above: their handlers have tests of their own."""

import pytest

from chain import handlers


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch):
    """An empty table; what a test registers goes into it and is gone afterwards."""
    monkeypatch.setattr(handlers, "_handlers", {})
    monkeypatch.setattr(handlers, "_repairs", [])
