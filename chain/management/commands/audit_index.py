"""Compare the database with the chain."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.audit.block import Sample
from chain.audit.run import FINAL, INDEXED, LATEST, audit_run
from chain.deployment import contracts_check
from chain.gateway import get_gateway
from chain.selectors import address_book

DIFFERENT, UNKNOWN = 1, 2
_TELL_EVERY_S = 2.0


class Command(BaseCommand):
    help = (
        "Ask the contracts at the newest final block and compare every read model with what they say. Ends with 0 where"
        " all is equal, 1 where something differs, 2 where it could not be found out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--block",
            type=_block,
            default=FINAL,
            metavar="N",
            help=f"a number, {LATEST}, {INDEXED} or {FINAL} (default)",
        )
        parser.add_argument("--all", action="store_true", help="print every difference, not only the first")
        parser.add_argument("--sample", type=_positive, metavar="N", help="compare N of each kind, not all")
        parser.add_argument("--seed", type=int, metavar="S", help="which ones (default: others at each run, printed)")

    def handle(self, *args: Any, **options: Any) -> None:
        sample = None
        if options["sample"]:
            seed = options["seed"] if options["seed"] is not None else time.time_ns() % 1_000_000
            sample = Sample(options["sample"], seed)
            self.stderr.write(f"A sample with the seed {seed}.")
        try:
            gateway, book = get_gateway(), address_book()
            contracts_check(gateway, book)
            report = audit_run(
                block=options["block"],
                sample=sample,
                only_first=not options["all"],
                gateway=gateway,
                book=book,
                say=self._progress(),
            )
        except WeighhouseError as error:
            text = f"Nothing is known: {error.message} ({error.code})"
            raise CommandError(text, returncode=UNKNOWN) from error
        for difference in report.differences:
            self.stdout.write(f"{difference} {difference.remedy}")
        self.stdout.write(str(report))
        if not report.is_equal:
            sys.exit(DIFFERENT)

    def _progress(self) -> Any:
        told = time.monotonic()

        def say(text: str) -> None:
            nonlocal told
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self.stderr.write(f"... {text}")

        return say


def _block(text: str) -> int | str:
    if text in (FINAL, LATEST, INDEXED):
        return text
    return _positive(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"expected a number from 1, not {text[:40]!r}")
    return int(text)
