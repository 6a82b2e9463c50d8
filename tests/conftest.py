"""Plugins and settings shared by every test."""

pytest_plugins = [
    "tests.fixtures.processes",
    "tests.fixtures.contracts",
    "tests.fixtures.weights",
    "tests.fixtures.people",
]
