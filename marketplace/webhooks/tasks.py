"""What workers do about webhooks. A task takes ids and calls one service."""

from celery import shared_task

from marketplace.webhooks import services


@shared_task(name=services.SEND_TASK)
def webhook_send(delivery_id: int) -> None:
    services.delivery_send(delivery_id=delivery_id)


@shared_task
def webhook_sweep() -> None:
    services.webhooks_sweep()


@shared_task
def webhook_purge() -> None:
    services.events_purge()
    services.secrets_reseal()
