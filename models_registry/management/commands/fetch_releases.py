"""Begin again with releases that were announced on chain and not found."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from models_registry.services.fetching import fetches_retry


class Command(BaseCommand):
    """Prints how many releases will be fetched."""

    help = "Fetch releases again that the chain announced and that could not be found."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("digest", nargs="?", default="", help="one release; all of them where none is given")

    def handle(self, *args: Any, digest: str, **options: Any) -> None:
        self.stdout.write(f"{fetches_retry(digest=digest.lower())} releases will be fetched again.")
