"""Following orders until the index sees their logs.

An order becomes `seen` for one reason only: the indexer saw its log. It becomes `reverted` because a receipt says so.
Time alone never makes it fail, and a node that does not answer changes nothing.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from chain import tracking
from chain.gateway.errors import ChainError
from chain.sent import Place
from chain.tracking import Searches, Sought
from marketplace.orders.models import CLOSED_STATES, Order, OrderState
from marketplace.orders.services.applying import finding_apply, transaction_learned
from marketplace.orders.services.searching import orders_find_by_event

logger = logging.getLogger(__name__)

FOLLOW_INTERVAL = timedelta(seconds=5)
# For what is not expected to change soon: closed states, and what the node does not know.
FOLLOW_CALMLY_INTERVAL = timedelta(seconds=30)
FOLLOW_SLOWLY_INTERVAL = timedelta(minutes=10)
FOLLOW_YOUNG = timedelta(hours=1)
FOLLOW_FOR = timedelta(days=7)
FOLLOW_BATCH = 100
# A page that shows an order asks at most this often, however many pages there are.
CHECK_INTERVAL = timedelta(seconds=1)
# A page that is open tells the hash sooner than this.
SEARCH_AFTER = timedelta(seconds=20)

_CALM_STATES = (*CLOSED_STATES, OrderState.UNKNOWN, OrderState.DROPPED)


def orders_follow() -> int:
    """Ask the node about orders whose log was not seen yet. Returns how many were asked about.

    1. Take the orders that are due: young ones every few seconds, older ones every ten minutes, for a week. Each
       account has a first before any has a second, so that nobody's made-up hashes hold up another.
    2. Look among the indexed events for those whose hash nobody told, and of those whose hash no node ever knew.
    3. Ask for the fates of the rest, in batches: see `chain.tracking`. Of those that need a search, each account has
       one a round, and those go first that were not searched for yet, or longest ago.
    4. A transaction in a block decides nothing: the index does. Look whether it has the log already, for the case that
       the order and the log were committed at the same moment and did not see each other.
    5. Learn sender and nonce of those that the index saw before any node was asked: a re-org may take them back.
    A later round may find something else (a re-org, a late block) and says so then. A node that does not answer ends
    the round; no order changes.
    """
    now = timezone.now()
    orders = list(_due(now)[:FOLLOW_BATCH])
    try:
        orders_find_by_event([order for order in orders if _is_searched(order, now)])
        _follow([order for order in orders if order.event_id is None], searches=Searches())
        _learn(now)
    except ChainError as failure:
        logger.warning("Orders cannot be followed now: %s", failure.message)
    return len(orders)


def orders_check(orders: Sequence[Order]) -> list[Order]:
    """The orders, asked about at this moment where nobody did within a second. Nothing is searched for.

    Raises the gateway's errors where no node answers; then nothing changed.
    """
    now = timezone.now()
    _follow([order for order in orders if _is_peeked(order, now)], searches=Searches(left=0), stamp="peeked_at")
    fresh = Order.objects.select_related("account", "event").in_bulk([order.pk for order in orders])
    return [fresh[order.pk] for order in orders]


def _is_peeked(order: Order, now: datetime) -> bool:
    """Whether this page may ask: of many that do at once, one does."""
    if order.event_id is not None or _is_closed_for_good(order) or _was_checked(order, now):
        return False
    mine = Order.objects.filter(pk=order.pk, event=None, peeked_at=order.peeked_at)
    return bool(mine.update(peeked_at=now))


def _was_checked(order: Order, now: datetime) -> bool:
    return any(at is not None and at > now - CHECK_INTERVAL for at in (order.checked_at, order.peeked_at))


def _is_closed_for_good(order: Order) -> bool:
    """Rejected in the wallet: there is nothing to ask about."""
    return order.tx_hash is None and order.nonce is None and order.first_block is None


def _due(now: datetime) -> QuerySet[Order]:
    calm = Q(followed_state__in=_CALM_STATES)
    interval = (calm & Q(checked_at__lt=now - FOLLOW_CALMLY_INTERVAL)) | (
        ~calm & Q(checked_at__lt=now - FOLLOW_INTERVAL)
    )
    young = Q(created_at__gt=now - FOLLOW_YOUNG) & interval
    due = Q(checked_at=None) | young | Q(checked_at__lt=now - FOLLOW_SLOWLY_INTERVAL)
    nothing_to_ask = Q(tx_hash=None, nonce=None, first_block=None)
    waiting = Order.objects.filter(due, event=None, created_at__gt=now - FOLLOW_FOR).exclude(nothing_to_ask)
    turn = Window(RowNumber(), partition_by=F("account_id"), order_by=F("checked_at").asc(nulls_first=True))
    turns = waiting.annotate(turn=turn).select_related("account")
    return turns.order_by("turn", F("checked_at").asc(nulls_first=True), "created_at")


def _is_searched(order: Order, now: datetime) -> bool:
    return order.known_at is None and not order.block_hash and order.created_at < now - SEARCH_AFTER


def _follow(orders: Sequence[Order], *, searches: Searches, stamp: str = "checked_at") -> None:
    now = timezone.now()
    asked = sorted((order for order in orders if _can_be_asked(order)), key=_search_turn)
    soughts = [_sought(order, now) for order in asked]
    findings = tracking.fates(soughts, searches=searches)
    searched = [order.pk for order, sought in zip(asked, soughts, strict=True) if sought in searches.made]
    Order.objects.filter(pk__in=searched).update(searched_at=now)
    for order, finding in zip(asked, findings, strict=True):
        finding_apply(order=order, finding=finding, now=now, stamp=stamp)
    # Orders that only an event can tell of were looked for there.
    rest = [order.pk for order in orders if not _can_be_asked(order)]
    Order.objects.filter(pk__in=rest, event=None).update(**{stamp: now})


def _search_turn(order: Order) -> tuple[bool, datetime]:
    return order.searched_at is not None, order.searched_at or order.created_at


def _learn(now: datetime) -> None:
    unknown = Order.objects.filter(event__isnull=False, known_at=None, checked_at=None)
    orders = list(unknown.filter(created_at__gt=now - FOLLOW_FOR).select_related("account")[:FOLLOW_BATCH])
    sent = tracking.transactions_get([order.tx_hash for order in orders if order.tx_hash]) if orders else {}
    for order in orders:
        transaction = sent.get(order.tx_hash or "")
        learned = transaction_learned(order, transaction, now) if transaction else {}
        Order.objects.filter(pk=order.pk, tx_hash=order.tx_hash).update(checked_at=now, **learned)


def _can_be_asked(order: Order) -> bool:
    return order.tx_hash is not None or order.nonce is not None


def _sought(order: Order, now: datetime) -> Sought:
    was_in = None if order.block_number is None else Place(order.block_number, order.block_hash)
    return Sought(
        tx_hash=order.tx_hash,
        sender=order.account.address,
        nonce=order.nonce if order.is_ours else None,
        first_block=order.first_block,
        call_hash=order.call_hash,
        was_known=order.known_at is not None,
        was_in=was_in,
        replaced_by=order.replaced_by or None,
        unheard_s=(now - (order.known_at or order.created_at)).total_seconds(),
        is_reason_known=order.error is not None,
    )
