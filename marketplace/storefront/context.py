"""What every page may show: the chain that the site works with, and how current its picture of it is."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from chain import selectors as chain
from chain.errors import AddressBookInvalid, AddressBookMissing, UnknownContract


def site(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Lazy, so that fragments which show none of it ask nothing."""
    return {
        "chain": SimpleLazyObject(chain.chain_status),
        "chain_id": settings.CHAIN_ID,
        "chain_name": chain_name(settings.CHAIN_ID),
        "contracts": SimpleLazyObject(_contracts),
        "demo_wallet": settings.DEMO_WALLET,
    }


def chain_name(chain_id: int) -> str:
    return "the development chain" if chain_id in settings.DEVELOPMENT_CHAIN_IDS else f"chain {chain_id}"


def _contracts() -> dict[str, str]:
    """Addresses of the contracts; empty before they are deployed, and pages then offer nothing to sign."""
    try:
        book = chain.address_book()
        found = {name: book.contract(name).address for name in ("ModelRegistry", "LicenceMarket")}
        # Only development chains have it.
        return found | {name: entry.address for name, entry in book.contracts.items() if name == "TestUSD"}
    except (AddressBookMissing, AddressBookInvalid, UnknownContract):
        return {}
