"""Recording what an account sends, and following it. See `following` for what an order's state rests on."""

from marketplace.orders.services.following import orders_check, orders_follow
from marketplace.orders.services.matching import EVENT_OF_KIND, order_match, orders_match_all, orders_match_events
from marketplace.orders.services.recording import order_intend, order_record, order_reject, order_tell

__all__ = [
    "EVENT_OF_KIND",
    "order_intend",
    "order_match",
    "order_record",
    "order_reject",
    "order_tell",
    "orders_check",
    "orders_follow",
    "orders_match_all",
    "orders_match_events",
]
