"""Endpoints, events, deliveries."""

from marketplace.webhooks.services.delivering import delivery_resend, delivery_send
from marketplace.webhooks.services.endpoints import (
    endpoint_change,
    endpoint_create,
    endpoint_delete,
    endpoint_secret_rotate,
    secrets_reseal,
)
from marketplace.webhooks.services.events import SEND_TASK, event_record, events_purge, webhooks_sweep

__all__ = [
    "SEND_TASK",
    "delivery_resend",
    "delivery_send",
    "endpoint_change",
    "endpoint_create",
    "endpoint_delete",
    "endpoint_secret_rotate",
    "event_record",
    "events_purge",
    "secrets_reseal",
    "webhooks_sweep",
]
