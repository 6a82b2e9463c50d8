"""Periodic work on orders."""

from celery import shared_task

from marketplace.orders import services


@shared_task
def orders_follow() -> None:
    services.orders_follow()
