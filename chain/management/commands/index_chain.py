"""Follow the chain."""

import logging
import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.gateway.newheads import NewHeads
from chain.indexer.build import indexer_build
from chain.indexer.run import index_forever, index_to_head

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Keep the read models in step with the chain until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="index up to the newest block, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self._once()
        else:
            self._forever()

    def _once(self) -> None:
        try:
            indexer = indexer_build()
            try:
                events = index_to_head(indexer)
            finally:
                indexer.close()
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        self.stdout.write(f"{events} events indexed.")

    def _forever(self) -> None:
        stop, wake = Event(), Event()

        def end(*_: object) -> None:
            stop.set()
            wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        new_heads = NewHeads(settings.WS_URL, wake.set) if settings.WS_URL else None
        if new_heads is not None:
            new_heads.start()
        self.stdout.write(f"Indexing chain {settings.CHAIN_ID}.")
        poll_s = settings.INDEX_POLL_INTERVAL_S
        index_forever(indexer_build, chain_id=settings.CHAIN_ID, stop=stop, poll_s=poll_s, wake=wake)
        if new_heads is not None:
            new_heads.stop()
        self.stdout.write("Indexing ended.")
