"""The keys with which the site encrypts what it keeps for a while: `PAYLOAD_KEY`, the newest first."""

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def payload_keys() -> list[str]:
    return [key.strip() for key in settings.PAYLOAD_KEY.split(",") if key.strip()]


def payload_fernet() -> MultiFernet:
    """The first key encrypts, all decrypt."""
    return MultiFernet([Fernet(key) for key in payload_keys()])
