"""Misconfiguration of the site, found before anything starts. What is unsafe belongs to the demo on one machine."""

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured

SECRET_KEY_MIN_CHARS = 50
# Django's test client; no name server knows it.
_TEST_HOST = "testserver"


@register("site")
def secret_key_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    hint = 'Set WEIGHHOUSE_SECRET_KEY_FILE to a file with: python -c "import secrets; print(secrets.token_urlsafe(64))"'
    try:
        length = len(settings.SECRET_KEY)
    except ImproperlyConfigured:
        return [Error("There is no secret key.", hint=hint, id="site.E001")]
    if length < SECRET_KEY_MIN_CHARS:
        message = f"The secret key has {length} characters; {SECRET_KEY_MIN_CHARS} are the least."
        return [Error(message, hint=hint, id="site.E001")]
    return []


@register("site")
def payload_key_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    hint = (
        "Set WEIGHHOUSE_PAYLOAD_KEY_FILE to a file with: "
        'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    )
    keys = [key.strip() for key in settings.PAYLOAD_KEY.split(",") if key.strip()]
    if not keys:
        message = "There is no payload key: inputs and outputs of jobs could not be encrypted."
        return [Error(message, hint=hint, id="site.E002")]
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        # The key itself is not repeated.
        return [Error("A payload key is not 32 bytes in URL-safe base64.", hint=hint, id="site.E002")]
    return []


@register("site")
def demo_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """The demo's conveniences are safe only while nobody else can reach them."""
    if not settings.DEMO:
        return []
    hosts = [urlsplit(settings.SITE_URL).hostname or "", *settings.ALLOWED_HOSTS]
    reachable = sorted({host for host in hosts if not _is_loopback(host)})
    if not reachable:
        return []
    hint = "Unset WEIGHHOUSE_DEMO to serve other machines, or set SITE_URL and ALLOWED_HOSTS to 127.0.0.1."
    return [Error(f"Demo mode is on and the site answers to {', '.join(reachable)}.", hint=hint, id="site.E003")]


@register("site")
def hosts_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.DEMO:
        return []
    found: list[CheckMessage] = []
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        hint = "Set WEIGHHOUSE_ALLOWED_HOSTS to the names under which browsers reach the site."
        found.append(Error("The site does not say which host names are its own.", hint=hint, id="site.E004"))
    site = urlsplit(settings.SITE_URL)
    if site.scheme != "https" and not _is_loopback(site.hostname or ""):
        hint = "Set WEIGHHOUSE_SITE_URL to the https:// address that browsers see."
        found.append(Error("Sessions and API keys would travel unencrypted.", hint=hint, id="site.E005"))
    return found


@register("site")
def debug_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.DEBUG and not settings.DEMO:
        hint = "Error pages would show settings and source. Set DEBUG = False."
        return [Error("Debug mode is on.", hint=hint, id="site.E006")]
    return []


@register("site")
def sandbox_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.SANDBOX_ALLOW_DEGRADED and not settings.DEMO:
        hint = "Unset WEIGHHOUSE_SANDBOX_ALLOW_DEGRADED and give the workers a memory cgroup; see docs/sandbox.md."
        return [Error("Models may run in a weaker sandbox outside demo mode.", hint=hint, id="site.E007")]
    return []


def unsafe_refuse() -> None:
    """What `manage.py` does by itself, for processes that serve or work. Raises ImproperlyConfigured."""
    errors = [message for message in run_checks(tags=["site", "chain"]) if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("This process does not start:\n" + "\n".join(str(message) for message in errors))


def _is_loopback(host: str) -> bool:
    if host in ("localhost", _TEST_HOST):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
