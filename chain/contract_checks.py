"""What code the node has at the contracts' addresses, noted for /status, which does not ask the node itself."""

from django.utils import timezone
from eth_utils.crypto import keccak

from chain.address_book import AddressBook
from chain.gateway.protocol import ChainGateway
from chain.models import ContractCheck


def codes_record(gateway: ChainGateway, book: AddressBook) -> None:
    """Note the hash of the code at each address. Raises the gateway's errors; then the earlier notes stand."""
    found = {name: "0x" + keccak(gateway.code(entry.address)).hex() for name, entry in book.contracts.items()}
    for name, code_hash in found.items():
        ContractCheck.objects.update_or_create(
            chain_id=book.chain_id,
            name=name,
            defaults={
                "address": book.contracts[name].address,
                "code_hash": code_hash,
                "checked_at": timezone.now(),
            },
        )
