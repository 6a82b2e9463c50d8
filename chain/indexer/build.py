"""The indexer that the settings name."""

from django.conf import settings

from chain.contract_checks import codes_record
from chain.deployment import contracts_check
from chain.gateway import get_gateway
from chain.indexer.run import Indexer
from chain.selectors import address_book


def indexer_build() -> Indexer:
    """Raises `AddressBookMissing`, `AddressBookInvalid`, `ContractsDiffer` and the gateway's errors."""
    gateway, book = get_gateway(), address_book()
    codes_record(gateway, book)
    contracts_check(gateway, book)
    return Indexer(gateway=gateway, book=book, development=settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS)
