"""Build the read models again from the chain."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.indexer.build import indexer_build
from chain.indexer.run import index_to_head


class Command(BaseCommand):
    help = (
        "Forget everything that was read from the chain and read it again. A running index_chain stands by meanwhile."
        " What people typed into the site is kept."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            indexer = indexer_build()
            try:
                removed = indexer.reset(force_lease=True)
                self.stdout.write(f"{removed} events forgotten.")
                events = index_to_head(indexer)
            finally:
                indexer.close()
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        self.stdout.write(f"{events} events indexed.")
