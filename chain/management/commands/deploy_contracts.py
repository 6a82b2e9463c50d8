"""Deploy the contracts, or find that they are deployed."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from eth_utils.address import is_checksum_address, to_checksum_address
from weighhouse.core.errors import WeighhouseError

from chain.bindings.structs import Roles
from chain.demo_market import DEMO_FEE_BPS, DemoMarket
from chain.deployment import Deployer
from chain.development import DEVELOPMENT_ACCOUNTS, development_require
from chain.explorer import verification_lines
from chain.gateway import get_gateway
from chain.market_roles import MAX_FEE_BPS, NOBODY, fee_set, roles_report
from chain.transactions import address_of

_ROLES = {
    "admin": "who allows tokens, sets the fee and names the other roles: a multisig or a timelock",
    "guardian": "who suspends models and disables operators; the zero address for nobody",
    "pauser": "who stops sales; the zero address for nobody",
    "treasury": "who is credited with the protocol's fee",
}


class Command(BaseCommand):
    help = (
        "Deploy the contracts to the chain that settings name, write the address book and say what to verify on an"
        " explorer. Safe to run again: what is in place stays, and an interrupted run is taken up."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for role, meaning in _ROLES.items():
            default = "the deployer on development chains, required elsewhere"
            parser.add_argument(f"--{role}", metavar="ADDRESS", help=f"{meaning} ({default})")
        parser.add_argument(
            "--fee-bps",
            type=int,
            metavar="N",
            help=f"the protocol's fee on plans to come in hundredths of a percent, at most {MAX_FEE_BPS}; set where the"
            " deployer is the admin",
        )
        parser.add_argument(
            "--demo-funds",
            action="store_true",
            help="development chains only: allow TestUSD, mint some to each development account, set the fee to"
            f" {DEMO_FEE_BPS} bps unless --fee-bps says otherwise, and register the site's operator",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._deploy(options)
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _deploy(self, options: dict[str, Any]) -> None:
        if options["demo_funds"]:
            development_require(settings.CHAIN_ID, "--demo-funds")
        fee_bps = options["fee_bps"]
        if fee_bps is not None and not 0 <= fee_bps <= MAX_FEE_BPS:
            raise CommandError(f"--fee-bps takes 0 to {MAX_FEE_BPS}.")
        key = self._key()
        gateway, roles = get_gateway(), self._roles(options, deployer=address_of(key))
        deployer = Deployer(
            gateway=gateway,
            directory=settings.ADDRESS_BOOK_DIR,
            key=key,
            roles=roles,
            development=_is_development(),
            say=self.stdout.write,
        )
        book = deployer.contracts_deploy()
        if options["demo_funds"]:
            demo = DemoMarket(gateway, book, admin_key=key, say=self.stdout.write)
            demo.funds_give()
            demo.operator_register()
            fee_bps = DEMO_FEE_BPS if fee_bps is None else fee_bps
        if fee_bps is not None:
            fee_set(gateway, book, key=key, fee_bps=fee_bps, say=self.stdout.write)
        for line in roles_report(gateway, book, wanted=roles, development=_is_development()):
            self.stdout.write(line)
        if not _is_development():
            for line in verification_lines(book):
                self.stdout.write(line)

    def _roles(self, options: dict[str, Any], *, deployer: str) -> Roles:
        missing = [f"--{role}" for role in _ROLES if not options[role]]
        if missing and not _is_development():
            raise CommandError(
                f"Name {', '.join(missing)}: off development chains no role is the deployer's by default."
            )
        roles = Roles(**{role: _address(f"--{role}", options[role] or deployer) for role in _ROLES})
        for role, holder in (("admin", roles.admin), ("treasury", roles.treasury)):
            if holder == NOBODY:
                raise CommandError(f"--{role} cannot be nobody.")
        return roles

    def _key(self) -> str:
        if settings.DEPLOYER_KEY:
            return str(settings.DEPLOYER_KEY)
        if _is_development():
            return DEVELOPMENT_ACCOUNTS[0].key
        raise CommandError("Set WEIGHHOUSE_DEPLOYER_KEY_FILE to the file of the key that deploys the contracts.")


def _is_development() -> bool:
    return settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS


def _address(option: str, text: str) -> str:
    """A mistyped address would lose a role for ever, so the checksum is required; all lower case has none."""
    if not is_checksum_address(text):
        try:
            right = to_checksum_address(text.lower())
        except ValueError:
            raise CommandError(f"{option} takes an address: 0x and 40 hex digits.") from None
        raise CommandError(f"{option} takes an address with its EIP-55 checksum. Is it {right}?")
    return text
