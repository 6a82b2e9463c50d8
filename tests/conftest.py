"""Plugins and rules shared by every test."""

from collections.abc import Iterator
from importlib import import_module

import pytest
from django.core.cache import cache
from hypothesis import settings

# A machine that is busy has proven nothing about an example.
settings.register_profile("weighhouse", settings(deadline=None))
settings.load_profile("weighhouse")

pytest_plugins = [
    "tests.fixtures.skips",
    "tests.fixtures.processes",
    "tests.fixtures.receivers",
    "tests.fixtures.stack",
    "tests.fixtures.contracts",
    "tests.fixtures.nodes",
    "tests.fixtures.weights",
    "tests.fixtures.people",
    "tests.fixtures.web",
    "tests.fixtures.audit",
]


# First: pytest-xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep tests that share one running stack, or that start whole stacks, on one worker."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))
        elif "tests/operation/" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("operation"))
        if item.get_closest_marker("slow") and not config.getoption("markexpr") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: `make full` runs it"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption("--chaos-faults", type=int, default=40, help="how many faults happen to the indexer")
    parser.addoption("--chaos-seed", type=int, default=4, help="which faults they are")


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Each worker has its own directory already: see tests/settings.py."""


@pytest.fixture(autouse=True, scope="session")
def _routes_loaded() -> None:
    """Views are imported with the first request, which may come while a test has replaced what they import by name."""
    import_module("marketplace.urls")


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    yield
    cache.clear()
