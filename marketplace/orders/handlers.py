"""An indexed log fulfils the orders that named its transaction."""

from collections.abc import Sequence

from chain.handlers import IndexedEvent, on_rebuilt, register
from marketplace.orders import services


def order_events_seen(events: Sequence[IndexedEvent]) -> None:
    services.orders_match_events(events=[item.row for item in events])


for _contract, _event in services.EVENT_OF_KIND.values():
    register(_contract, _event, derived=False)(order_events_seen)
on_rebuilt(services.orders_match_all)
