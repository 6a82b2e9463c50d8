"""Who holds the roles of a market that was deployed, and its fee."""

from collections.abc import Callable, Iterator
from dataclasses import fields

from chain.address_book import AddressBook
from chain.bindings import licence_market
from chain.bindings.base import views_require
from chain.bindings.structs import Roles
from chain.gateway.protocol import ChainGateway
from chain.transactions import address_of, receipt_wait, send

NOBODY = "0x" + "00" * 20
# The market's own constant of this name; whatever is asked of it, it refuses more.
MAX_FEE_BPS = 500


def roles_read(gateway: ChainGateway, book: AddressBook) -> Roles:
    """The roles as the market has them now."""
    market = licence_market(book)
    views = [market.owner(), market.guardian(), market.pauser(), market.treasury()]
    return Roles(*views_require(views, gateway=gateway))


def fee_set(gateway: ChainGateway, book: AddressBook, *, key: str, fee_bps: int, say: Callable[[str], None]) -> None:
    """Set the fee of plans to come where it differs and `key` is the admin's; say what the admin has to do elsewhere.

    Raises `BpsTooLarge`.
    """
    market = licence_market(book)
    if market.fee_bps().read(gateway=gateway) == fee_bps:
        return
    request = market.set_fee_bps(fee_bps)
    if market.owner().read(gateway=gateway) != address_of(key):
        say(f"The fee is the admin's to set: call the market at {request.to} with {request.data}.")
        return
    receipt_wait(send(key, request, gateway=gateway), gateway=gateway)
    say(f"Plans to come carry a fee of {fee_bps} bps.")


def roles_report(gateway: ChainGateway, book: AddressBook, *, wanted: Roles, development: bool) -> Iterator[str]:
    """The roles on chain, and off development chains what about them a careful person would change."""
    held = roles_read(gateway, book)
    holders = {role.name: getattr(held, role.name) for role in fields(held)}
    yield "Roles: " + ", ".join(f"{role} {_named(holder)}" for role, holder in holders.items()) + "."
    if development:
        return
    for role, holder in holders.items():
        if holder != getattr(wanted, role):
            yield f"Warning: the {role} was to be {getattr(wanted, role)}. A market that is deployed keeps its roles."
    for role, holder in holders.items():
        others = [other for other in holders if other > role and holders[other] == holder != NOBODY]
        for other in others:
            yield f"Warning: {role} and {other} are one account: whoever steals its key has both."
    if not gateway.code(held.admin):
        yield "Warning: the admin is an account with a single key. Hand over to a multisig or a timelock."


def _named(holder: str) -> str:
    return "nobody" if holder == NOBODY else holder
