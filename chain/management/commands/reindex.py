"""Build the read models again from the chain."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.indexer.build import indexer_build
from chain.indexer.rebuild import index_rebuild
from chain.indexer.run import Step

PROGRESS_EVERY_S = 5.0


class Command(BaseCommand):
    help = (
        "Read everything from the chain again, beside the rows that the pages show, and put the new rows in their place"
        " at once. A running index_chain goes on meanwhile. What people typed into the site is kept."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self._events, self._said_at = 0, time.monotonic()
        try:
            change = index_rebuild(indexer_build, progress=self._progress)
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        self.stdout.write(
            f"{change.after} events in the place of {change.before}: {change.added} came, {change.removed} went."
        )

    def _progress(self, step: Step) -> None:
        self._events += step.events
        if time.monotonic() - self._said_at >= PROGRESS_EVERY_S and step.last is not None:
            self.stdout.write(f"Block {step.last}, {self._events} events.")
            self._said_at = time.monotonic()
