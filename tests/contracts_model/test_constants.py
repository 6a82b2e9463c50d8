"""The numbers of the rules: the model's own, the contracts', and those in the documentation."""

import re
from pathlib import Path

import pytest

from tests.contracts_model import registry_model, states
from tests.fixtures.contracts import Market

PAGES = Path(__file__).resolve().parents[2] / "docs"
MARKET = (
    *("MAX_PERIOD", "MAX_FEE_BPS", "MAX_SERVICE_BPS", "MAX_ENTRY_BPS", "MAX_CALLS", "MIN_VESTING", "MAX_VESTING"),
    *("REPORT_WINDOW", "SUSPENSION", "SETTLE_AFTER", "BATCH"),
)
UNITS = {"days": 86_400, "hour": 3_600, "hours": 3_600, None: 1}


@pytest.mark.parametrize("name", MARKET)
def test_constant_of_the_market_is_the_models_and_the_pages(market: Market, name: str) -> None:
    expected = getattr(states, name)
    assert market.read("LicenceMarket", name, []) == expected
    if name != "MAX_CALLS":
        said = re.search(rf"`{name}` \(([\d,]+)(?: (days|hours?))?", (PAGES / "contracts-market.md").read_text())
        assert said is not None
        assert int(said[1].replace(",", "")) * UNITS[said[2]] == expected


def test_constants_of_the_registry_are_the_models(market: Market) -> None:
    names = {
        "MAX_ANCESTORS": registry_model.MOST_ANCESTORS,
        "MAX_ANCESTOR_BPS": registry_model.MOST_ANCESTOR_BPS,
        "MAX_DERIVATIVE_BPS": registry_model.MOST_DERIVATIVE_BPS,
    }
    assert {name: market.read("ModelRegistry", name, []) for name in names} == names
