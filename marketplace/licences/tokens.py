"""What plans are priced in.

A token's own `symbol()` and `decimals()` are a stranger's words; only tokens named here get a name.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from chain import selectors as chain
from chain.errors import AddressBookMissing, UnknownContract

NATIVE = "0x0000000000000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Token:
    """A means of payment. `decimals` says where the point stands in an on-chain amount."""

    address: str
    symbol: str
    decimals: int


def token_list() -> list[Token]:
    """Tokens that this site offers for new plans, the stable one first."""
    native = Token(NATIVE, "ETH", 18)
    try:
        return [Token(chain.contract_address("TestUSD"), "TestUSD", 6), native]
    except (AddressBookMissing, UnknownContract):
        return [native]


def token_get(address: str) -> Token | None:
    """The token at an address, `None` where this site does not know it."""
    return next((token for token in token_list() if token.address.lower() == address.lower()), None)


def amount_text(value: int, address: str) -> str:
    """An amount with its symbol, exact: `12.5 TestUSD`. Of an unknown token, in its smallest unit."""
    token = token_get(address)
    if token is None:
        return f"{value} units of token {address}"
    with localcontext() as context:
        context.prec = 100
        text = f"{Decimal(value).scaleb(-token.decimals):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {token.symbol}"
