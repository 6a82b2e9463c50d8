"""The contracts and their model side by side, and who acts on them."""

from dataclasses import dataclass

import pytest

from chain.development import DEVELOPMENT_ACCOUNTS
from tests.contracts_model.twin import Twin
from tests.fixtures.contracts import Market

FEE_BPS = 250


@dataclass(frozen=True)
class Cast:
    admin: str
    publisher: str
    buyer: str
    outsider: str
    friend: str
    operator: str
    key: str
    payee: str
    guardian: str
    treasury: str


@pytest.fixture
def cast() -> Cast:
    return Cast(*(account.address for account in DEVELOPMENT_ACCOUNTS))


@pytest.fixture
def twin(market: Market, cast: Cast) -> Twin:
    """A market with a fee, a guardian who also pauses, a treasury, one operator, and approvals for all."""
    twin = Twin(market)
    for account in twin.accounts:
        twin.approve(account, 2**256 - 1)
    twin.role("set_fee_bps", FEE_BPS, by=cast.admin)
    twin.role("set_guardian", cast.guardian, by=cast.admin)
    twin.role("set_pauser", cast.guardian, by=cast.admin)
    twin.role("set_treasury", cast.treasury, by=cast.admin)
    return twin


@pytest.fixture
def operator_id(twin: Twin, cast: Cast) -> int:
    return twin.role("register_operator", cast.key, cast.payee, by=cast.operator)


@pytest.fixture
def model_id(twin: Twin, cast: Cast) -> int:
    return twin.publish(by=cast.publisher)
