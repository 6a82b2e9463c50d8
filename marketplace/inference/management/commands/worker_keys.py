"""Make, rotate, revoke and list the keys that sign receipts."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from marketplace.inference.models import WorkerKey
from marketplace.inference.receipts import keys


class Command(BaseCommand):
    help = (
        "The keys with which workers sign receipts. The operator's key signs each delegation and revocation, so run"
        " this where the settings name it; workers do not need it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        create = commands.add_parser("create", help="make a key, beside those that there are")
        create.add_argument(
            "--if-missing", action="store_true", help="only where no key of the operator's present one signs"
        )
        rotate = commands.add_parser("rotate", help="make a key; older ones sign no more, what they signed stays good")
        for command in (create, rotate):
            days = int(keys.DEFAULT_TERM.days)
            command.add_argument("--days", type=int, default=days, metavar="N", help=f"how long it signs ({days})")
        revoke = commands.add_parser("revoke", help="take a key back: what it signed counts only where it is anchored")
        revoke.add_argument("address", metavar="ADDRESS")
        commands.add_parser("list", help="the keys, newest first")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['command']}")(options)
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _create(self, options: dict[str, Any]) -> None:
        make = keys.worker_key_ensure if options["if_missing"] else keys.worker_key_create
        self.stdout.write(self._line(make(term=self._term(options))))

    def _rotate(self, options: dict[str, Any]) -> None:
        self.stdout.write(self._line(keys.worker_key_rotate(term=self._term(options))))

    def _revoke(self, options: dict[str, Any]) -> None:
        self.stdout.write(self._line(keys.worker_key_revoke(address=options["address"])))
        if keys.worker_key_active() is None:
            self.stdout.write("No key signs now: jobs get their receipts when `worker_keys create` made one.")

    def _list(self, options: dict[str, Any]) -> None:
        for key in WorkerKey.objects.all():
            self.stdout.write(self._line(key))
        if keys.worker_key_active() is None:
            self.stdout.write("No key signs now, so this site issues no receipts. Run `manage.py worker_keys create`.")

    def _term(self, options: dict[str, Any]) -> timedelta:
        if not 1 <= options["days"] <= 3650:
            raise CommandError("--days takes 1 to 3650.")
        return timedelta(days=options["days"])

    def _line(self, key: WorkerKey) -> str:
        state = "revoked" if key.revoked_at else "retired" if key.retired_at else "signs"
        if state == "signs" and keys.worker_key_is_stale(key):
            state = "stale: the operator has another key"
        return f"{key.address}  operator {key.operator_id}  {state}  until {key.valid_until:%Y-%m-%d}"
