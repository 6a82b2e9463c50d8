"""Periodic work on accounts."""

from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from marketplace.accounts import services


@shared_task
def sign_in_purge() -> None:
    """Delete challenges that nobody answered, and sessions that ended."""
    services.sign_in_nonces_purge()
    SessionStore.clear_expired()
