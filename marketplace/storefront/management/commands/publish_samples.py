"""Publish the sample models, or find that they are published."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.development import DEVELOPMENT_ACCOUNTS, development_require
from samples.catalogue import CATALOGUE, SampleFilesError, sample_get
from samples.publishing import PublishingError, SamplePublisher

KNOWN = [sample.directory for sample in CATALOGUE]
# The demo wallet calls this account Publisher.
PUBLISHER = DEVELOPMENT_ACCOUNTS[1]


class Command(BaseCommand):
    help = (
        "Publish the sample models on a development chain, through the same code as anybody's upload. Safe to run "
        "again. Needs a worker, for the check in the sandbox, and the indexer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(KNOWN)}; all by default")
        parser.add_argument("--timeout", type=float, default=600.0, help="seconds to wait for a check or the index")

    def handle(self, *args: Any, **options: Any) -> None:
        if unknown := sorted(set(options["names"]) - set(KNOWN)):
            raise CommandError(f"There is no sample {unknown[0]!r}; there are {', '.join(KNOWN)}.")
        samples = [sample_get(name) for name in options["names"] or KNOWN]
        try:
            development_require(settings.CHAIN_ID, "publish_samples")
            publisher = SamplePublisher(PUBLISHER.key, say=self._say, timeout_s=options["timeout"])
            publisher.publish(samples)
        except (SampleFilesError, PublishingError) as error:
            raise CommandError(str(error)) from error
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
