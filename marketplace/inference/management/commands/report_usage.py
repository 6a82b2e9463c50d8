"""Report calls of metered licences on chain, and collect what they have vested."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.fields import UINT256_MAX
from marketplace.inference import reporting


class Command(BaseCommand):
    help = (
        "Put the reports that are due into the outbox, as a worker does every 15 seconds. With licences, theirs, "
        "whatever they are worth; with --collect also collect what has vested of them, after the reports."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("licences", nargs="*", type=int, metavar="licence", help="ids")
        parser.add_argument("--collect", action="store_true", help="collect what has vested of the licences")

    def handle(self, *args: Any, **options: Any) -> None:
        licences = options["licences"]
        if any(not 0 <= licence_id <= UINT256_MAX for licence_id in licences):
            raise CommandError("A licence's id is a number of at most 256 bits.")
        if options["collect"] and not licences:
            raise CommandError("Name the licences to collect.")
        try:
            if options["collect"]:
                rows = reporting.income_collect(licence_ids=licences)
                self.stdout.write(f"{len(rows)} transactions collect what has vested, after the reports.")
            else:
                count = reporting.usage_report(licence_ids=licences or None)
                self.stdout.write(f"The calls of {count} licences are in the outbox.")
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
