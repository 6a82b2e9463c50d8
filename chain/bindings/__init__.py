"""The contracts, typed: every call, view and event has a function or class here, written by hand.

A test compares them with the committed ABI, so that none is missing and no argument stands in another place. Errors are
in `chain.gateway.reverts`, because the gateway raises them.
"""

from django.conf import settings

from chain.address_book import AddressBook, book_read
from chain.bindings.anchor import ReceiptAnchor
from chain.bindings.market import LicenceMarket
from chain.bindings.money import Token
from chain.bindings.registry import ModelRegistry


def model_registry(book: AddressBook | None = None) -> ModelRegistry:
    """The registry of the address book, the site's own without one. Raises what `book_read` raises."""
    return ModelRegistry(*_place(ModelRegistry.artefact, book))


def licence_market(book: AddressBook | None = None) -> LicenceMarket:
    return LicenceMarket(*_place(LicenceMarket.artefact, book))


def receipt_anchor(book: AddressBook | None = None) -> ReceiptAnchor:
    return ReceiptAnchor(*_place(ReceiptAnchor.artefact, book))


def usd_token(book: AddressBook | None = None) -> Token:
    """Play money, on development chains only. Elsewhere raises `UnknownContract`."""
    return Token(*_place(Token.artefact, book))


def token_at(address: str) -> Token:
    """An ERC-20 token of the site's chain. Its answers are a stranger's."""
    return Token(address, settings.CHAIN_ID)


def _place(name: str, book: AddressBook | None) -> tuple[str, int]:
    book = book or book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID)
    return book.contract(name).address, book.chain_id
