"""Plugins and rules shared by every test."""

import os
from collections.abc import Iterator

import pytest
from django.core.cache import cache

pytest_plugins = [
    "tests.fixtures.processes",
    "tests.fixtures.stack",
    "tests.fixtures.contracts",
    "tests.fixtures.weights",
    "tests.fixtures.people",
]

# What a machine may lack even where every skip counts as a failure.
OPTIONAL_MARKERS = frozenset({"kubo"})
STRICT = os.environ.get("WEIGHHOUSE_STRICT") == "1"


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Under WEIGHHOUSE_STRICT=1 a test that cannot run here has failed."""
    report = yield
    optional = any(item.get_closest_marker(name) for name in (*OPTIONAL_MARKERS, "slow"))
    if STRICT and report.skipped and not hasattr(report, "wasxfail") and not optional:
        report.outcome = "failed"
        report.longrepr = (
            f"skipped, and WEIGHHOUSE_STRICT=1 allows no skip: {call.excinfo.value if call.excinfo else ''}"
        )
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what did not run on this machine."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "slow:" not in str(report.longrepr)]
    if skipped:
        terminalreporter.section("NOT RUN ON THIS MACHINE", sep="!", red=True, bold=True)
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            terminalreporter.line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Each worker has its own directory already: see tests/settings.py."""


@pytest.fixture(autouse=True)
def _clean_cache() -> Iterator[None]:
    yield
    cache.clear()
