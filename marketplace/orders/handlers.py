"""An indexed log fulfils the orders that named its transaction."""

from chain.handlers import DecodedEvent, register
from chain.models import ChainEvent
from marketplace.orders import services


def order_event_seen(event: DecodedEvent, row: ChainEvent) -> None:
    services.orders_match_event(event=row)


for _contract, _event in services.EVENT_OF_KIND.values():
    register(_contract, _event)(order_event_seen)
