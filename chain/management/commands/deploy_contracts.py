"""Deploy the contracts, or find that they are deployed."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.deployment import Deployer, demo_funds
from chain.development import DEVELOPMENT_ACCOUNTS, development_require
from chain.gateway import get_gateway
from chain.transactions import address_of


class Command(BaseCommand):
    help = "Deploy the contracts to the chain that settings name and write the address book. Safe to run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--demo-funds",
            action="store_true",
            help="development chains only: allow TestUSD in the market and mint some to each development account",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._deploy(funds=options["demo_funds"])
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _deploy(self, *, funds: bool) -> None:
        if funds:
            development_require(settings.CHAIN_ID, "--demo-funds")
        key = self._key()
        gateway = get_gateway()
        deployer = Deployer(
            gateway=gateway,
            directory=settings.ADDRESS_BOOK_DIR,
            key=key,
            admin=settings.CHAIN_ADMIN or address_of(key),
            development=settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS,
            say=self.stdout.write,
        )
        book = deployer.contracts_deploy()
        if funds:
            demo_funds(gateway=gateway, book=book, admin_key=key, say=self.stdout.write)

    def _key(self) -> str:
        if settings.DEPLOYER_KEY:
            return str(settings.DEPLOYER_KEY)
        if settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS:
            return DEVELOPMENT_ACCOUNTS[0].key
        raise CommandError("Set WEIGHHOUSE_DEPLOYER_KEY_FILE to the file of the key that deploys the contracts.")
