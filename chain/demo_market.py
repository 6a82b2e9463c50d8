"""What a development chain needs beside the contracts so that a newcomer can try everything. Running it again changes
nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from chain.address_book import AddressBook
from chain.bindings import licence_market, usd_token
from chain.bindings.base import views_require
from chain.development import (
    DEVELOPMENT_ACCOUNTS,
    OPERATOR_KEY,
    OPERATOR_OWNER,
    OPERATOR_PAYEE,
    development_require,
)
from chain.gateway.protocol import ChainGateway
from chain.transactions import TransactionRequest, receipt_wait, send

Say = Callable[[str], None]

# 1,000,000 TestUSD for each development account.
DEMO_FUNDS_UNITS = 10**6 * 10**6
DEMO_FEE_BPS = 200


@dataclass(frozen=True)
class DemoMarket:
    """The market of a development chain. `admin_key` is its admin's."""

    gateway: ChainGateway
    book: AddressBook
    admin_key: str
    say: Say

    def funds_give(self) -> None:
        """Allow TestUSD in the market and give every development account some. Raises `DevelopmentOnly`."""
        development_require(self.gateway.chain_id, "TestUSD")
        market, token = licence_market(self.book), usd_token(self.book)
        requests = []
        if not market.token_allowed(token.address).read(gateway=self.gateway):
            requests.append(market.set_token_allowed(token.address, True))
        balances = [token.balance_of(account.address) for account in DEVELOPMENT_ACCOUNTS]
        for account, balance in zip(DEVELOPMENT_ACCOUNTS, views_require(balances, gateway=self.gateway), strict=True):
            if not balance:
                requests.append(token.mint(account.address, DEMO_FUNDS_UNITS))
        self._send(requests, key=self.admin_key)
        self.say(f"TestUSD is allowed and {len(DEVELOPMENT_ACCOUNTS)} development accounts hold some.")

    def operator_register(self) -> int:
        """The id of the site's operator, registered where it is not. Raises `DevelopmentOnly`."""
        development_require(self.gateway.chain_id, "The demo's operator")
        operator_id = demo_operator_id(self.gateway, self.book)
        if operator_id == 0:
            request = licence_market(self.book).register_operator(OPERATOR_KEY.address, OPERATOR_PAYEE.address)
            self._send([request], key=OPERATOR_OWNER.key)
            operator_id = demo_operator_id(self.gateway, self.book)
        self.say(f"The site is operator {operator_id}; {OPERATOR_PAYEE.address} is paid its shares.")
        return operator_id

    def _send(self, requests: list[TransactionRequest], *, key: str) -> None:
        hashes = [send(key, request, gateway=self.gateway) for request in requests]
        for tx_hash in hashes:
            receipt_wait(tx_hash, gateway=self.gateway)


def demo_operator_id(gateway: ChainGateway, book: AddressBook) -> int:
    """The newest operator that the demo's owner registered and the guardian has not disabled; 0 where there is none."""
    market = licence_market(book)
    count = market.operator_count().read(gateway=gateway)
    ids = range(count, 0, -1)
    operators = views_require([market.operator(operator_id) for operator_id in ids], gateway=gateway)
    for operator_id, operator in zip(ids, operators, strict=True):
        if operator.owner == OPERATOR_OWNER.address and not operator.is_disabled:
            return operator_id
    return 0
