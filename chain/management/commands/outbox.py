"""Look into the outbox, and take back or repeat one of its transactions."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from weighhouse.core.errors import WeighhouseError

from chain.models import OutboxState, OutboxTransaction
from chain.outbox.selectors import outbox_list, outbox_status
from chain.outbox.services import outbox_cancel, outbox_prune, outbox_retry


class Command(BaseCommand):
    help = "Show the operator's transactions; cancel or retry one; delete old ones that are final."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("status", help="how the sending goes: what waits, what was spent, what is wrong")
        listing = actions.add_parser("list", help="the newest transactions")
        listing.add_argument("--state", choices=OutboxState.values, default="", help="only those in this state")
        listing.add_argument("--limit", type=int, default=50, metavar="N", help="how many (50)")
        cancel = actions.add_parser("cancel", help="take one back; what is sent already may still be mined")
        cancel.add_argument("id", type=int)
        retry = actions.add_parser("retry", help="send one again that failed, was reverted or was cancelled")
        retry.add_argument("id", type=int)
        prune = actions.add_parser("prune", help="delete what ended long ago")
        prune.add_argument("--days", type=int, default=90, metavar="N", help="older than N days (90, at least 2)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except WeighhouseError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _status(self, options: dict[str, Any]) -> None:
        status = outbox_status()
        self.stdout.write(f"Account {status.address or 'not known yet'}, balance {status.balance_wei} wei.")
        self.stdout.write(
            f"{status.queued} queued, {status.held} of them held; {status.in_flight} in flight; {status.failed} failed;"
            f" the oldest since {status.oldest_at}."
        )
        self.stdout.write(f"Spent within 24 hours: {status.spent_wei} wei of {status.cap_wei or 'any number'}.")
        for code, message in ((status.alarm_code, status.alarm_message), (status.error_code, status.error_message)):
            if code:
                self.stdout.write(f"{code}: {message}")

    def _list(self, options: dict[str, Any]) -> None:
        for row in outbox_list(state=options["state"])[: max(options["limit"], 0)]:
            self.stdout.write(_line(row))

    def _cancel(self, options: dict[str, Any]) -> None:
        self.stdout.write(_line(outbox_cancel(transaction_id=options["id"])))

    def _retry(self, options: dict[str, Any]) -> None:
        self.stdout.write(_line(outbox_retry(transaction_id=options["id"])))

    def _prune(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{outbox_prune(older_than=timedelta(days=options['days']))} deleted.")


def _line(row: OutboxTransaction) -> str:
    state = f"{row.state} {row.outcome}".strip()
    asked = " cancel-requested" if row.cancel_requested_at and row.state == OutboxState.SIGNED else ""
    reason = f" {row.reason_code}: {row.reason}" if row.reason_code else ""
    nonce = "-" if row.nonce is None else row.nonce
    return f"{row.pk} {row.purpose} {state}{asked} nonce {nonce} {row.tx_hash or '-'}{reason}"
