"""What the tables of `LicenceMarket` must hold: log by log (`rows`), and all together, as the contract's views say.

Nothing here is used by the handlers or the pages, and nothing of theirs is used here: what a rule says is written a
second time, from the contracts.
"""

from importlib import import_module

MODULES = ("rows", "operators", "clocks", "plans", "licences", "credits")


def register_all() -> None:
    """Register the audits; called once the apps are loaded."""
    for name in MODULES:
        import_module(f"marketplace.licences.audit.{name}")
