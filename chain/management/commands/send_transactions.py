"""Send what the outbox holds.

1. Read the settings: signer, limits. Without a signer, end and say what to set.
2. Take the lease on the account's row; while another sender holds it, stand by.
3. Round after round (`chain.outbox.sender.Sender.step`): follow what is signed, send and replace it, sign
   what is queued.
4. After an error of the node, the signer or the database, wait (2, 4 ... 15 s, or as long as the node asks) and begin
   again from what the database says. An error never makes a transaction fail.
5. On SIGTERM and Ctrl-C, finish the round and give the lease back.
"""

import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.outbox.run import send_forever, send_once, sender_build


class Command(BaseCommand):
    help = "Send the operator's transactions until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end as soon as there is nothing to do for now")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sender = sender_build()
            if options["once"]:
                try:
                    changes = send_once(sender)
                finally:
                    sender.close()
                self.stdout.write(f"{changes} changes.")
                return
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"Sending as {sender.signer.address} on chain {settings.CHAIN_ID}.")
        send_forever(sender_build, stop=stop, poll_s=settings.OUTBOX_POLL_INTERVAL_S)
        self.stdout.write("Sending ended.")
