"""Everything that /status says, from the database and the address book alone: it answers while the node is down."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from chain.address_book import AddressBook, book_read
from chain.errors import AddressBookInvalid, AddressBookMissing
from chain.gateway import get_gateway
from chain.gateway.protocol import EndpointHealth
from chain.models import ChainEvent, ContractCheck, ParkedLog
from chain.selectors import ChainStatus, chain_status

PARKED_SHOWN = 20
# The market's roles and switches: the event that sets each, and the argument that says to what.
_ROLES = {
    "admin": ("OwnershipTransferred", "newOwner"),
    "guardian": ("GuardianSet", "guardian"),
    "pauser": ("PauserSet", "pauser"),
    "treasury": ("TreasurySet", "treasury"),
    "fee_bps": ("FeeSet", "feeBps"),
    "paused": ("PausedSet", "paused"),
}


@dataclass(frozen=True, slots=True)
class ContractStatus:
    """A contract of the address book. `code_matches` is None where the indexer has not compared this entry yet."""

    name: str
    address: str
    code_hash: str
    code_matches: bool | None
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """The stream, the logs that were set aside, the contracts, who holds the market's roles, and the endpoints.

    `roles` are as their events say, as far as the index has them; one whose event it has not is left out.
    """

    checked_at: datetime
    stream: ChainStatus
    parked: list[ParkedLog]
    contracts: list[ContractStatus]
    book_error: str
    roles: dict[str, str | int | bool]
    endpoints: list[EndpointHealth]

    @property
    def ok(self) -> bool:
        """False where the index lags or stopped, where logs are set aside, or where a contract is not what it was."""
        return self.stream.ok and not self.book_error and all(row.code_matches is not False for row in self.contracts)


def site_status() -> SiteStatus:
    contracts, book_error = _contracts()
    return SiteStatus(
        checked_at=timezone.now(),
        stream=chain_status(),
        parked=list(ParkedLog.objects.filter(chain_id=settings.CHAIN_ID).order_by("id")[:PARKED_SHOWN]),
        contracts=contracts,
        book_error=book_error,
        roles=_roles(),
        endpoints=endpoints(),
    )


def endpoints() -> list[EndpointHealth]:
    """How each endpoint of the node fares, as this process has seen it, without its address. Nothing is asked here."""
    return get_gateway().endpoint_health()


def _contracts() -> tuple[list[ContractStatus], str]:
    """The book's contracts, or why there are none."""
    try:
        book = book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID)
    except (AddressBookMissing, AddressBookInvalid) as error:
        return [], error.message
    return _compared(book), ""


def _compared(book: AddressBook) -> list[ContractStatus]:
    checks = {row.name: row for row in ContractCheck.objects.filter(chain_id=book.chain_id)}
    rows = []
    for name, entry in book.contracts.items():
        check = checks.get(name)
        if check is not None and check.address != entry.address:
            # Another deployment's.
            check = None
        matches = None if check is None else check.code_hash == entry.code_hash
        rows.append(ContractStatus(name, entry.address, entry.code_hash, matches, check.checked_at if check else None))
    return rows


def _roles() -> dict[str, str | int | bool]:
    """The newest event of each role: one step in an index for each."""
    found: dict[str, str | int | bool] = {}
    for role, (name, argument) in _ROLES.items():
        events = ChainEvent.objects.filter(chain_id=settings.CHAIN_ID, contract="LicenceMarket", name=name)
        event = events.order_by("-id").first()
        if event is not None:
            value = event.args[argument]
            found[role] = int(value) if role == "fee_bps" else value
    return found
