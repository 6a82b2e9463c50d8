"""The sender that the settings name, and the loop around its rounds."""

import logging
from collections.abc import Callable
from threading import Event

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from weighhouse.core.errors import WeighhouseError

from chain.errors import LeaseLost
from chain.gateway import get_gateway
from chain.indexer.retry import wait_s
from chain.outbox import store
from chain.outbox.limits import limits_of_settings
from chain.outbox.sender import Sender
from chain.outbox.services import OPERATOR
from chain.signing import get_signer

logger = logging.getLogger(__name__)


def sender_build() -> Sender:
    """Raises `SignerMissing` and `EncodingError`. Asks nobody."""
    return Sender(gateway=get_gateway(), signer=get_signer(), limits=limits_of_settings())


def send_once(sender: Sender, *, limit: int = 10_000) -> int:
    """Rounds until one finds nothing to do; how much was done. Raises what `Sender.step` raises, and `LeaseLost`."""
    changes = 0
    for _ in range(limit):
        step = sender.step()
        if step.standby:
            raise LeaseLost("Another sender is at work for this account.")
        if not step.changes:
            break
        changes += step.changes
    return changes


def send_forever(make: Callable[[], Sender], *, stop: Event, poll_s: float) -> None:
    """Round after round until `stop` is set, whatever happens to the node, the signer or the database."""
    sender: Sender | None = None
    failures = 0
    while not stop.is_set():
        try:
            sender = sender or make()
            step = sender.step()
            failures = 0
            pause = 0.0 if step.changes else poll_s
        except (WeighhouseError, DatabaseError) as error:
            failures += 1
            pause = wait_s(error, failures=failures, poll_s=poll_s)
            _failure_log(error, failures=failures, pause=pause)
            _failure_tell(sender, error)
            sender = None
        stop.wait(pause)
    if sender is not None:
        sender.close()


def _failure_log(error: Exception, *, failures: int, pause: float) -> None:
    level = logging.WARNING if failures <= 3 or failures % 20 == 0 else logging.DEBUG
    trace = error if isinstance(error, DatabaseError) else None
    logger.log(level, "Sending stopped: %s. Trying again in %.1f s.", error, pause, exc_info=trace)


def _failure_tell(sender: Sender | None, error: Exception) -> None:
    try:
        if isinstance(error, DatabaseError):
            close_old_connections()
        if sender is None:
            store.error_report(chain_id=settings.CHAIN_ID, name=OPERATOR, token=None, error=error)
        else:
            sender.error_report(error)
            sender.close()
    except DatabaseError:
        logger.exception("The database does not take the report either.")
