"""Misconfiguration of what this site sends, found before anything starts. No check talks to a node or a signer."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from eth_utils.address import is_checksum_address

from chain.checks import is_loopback
from chain.development import is_development_key
from chain.errors import EncodingError
from chain.signing.local import LocalSigner


@register("chain")
def operator_key_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    key = settings.OPERATOR_KEY
    if not key:
        return []
    hint = "Set WEIGHHOUSE_OPERATOR_KEY_FILE to a file with a key of your own: 32 bytes in hex."
    if is_development_key(key) and settings.CHAIN_ID not in settings.DEVELOPMENT_CHAIN_IDS:
        return [Error("The operator's key is a published test key.", hint=hint, id="chain.E021")]
    try:
        LocalSigner(key)
    except EncodingError as error:
        return [Error(error.message, hint=hint, id="chain.E022")]
    return []


@register("chain")
def operator_signer_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not settings.OPERATOR_SIGNER_URL:
        return []
    found: list[CheckMessage] = []
    parts = urlsplit(settings.OPERATOR_SIGNER_URL)
    # The address itself is not repeated: it may carry a password.
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        hint = "WEIGHHOUSE_OPERATOR_SIGNER_URL takes an http:// or https:// address."
        found.append(Error("The operator's signer is not at an HTTP address.", hint=hint, id="chain.E023"))
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        hint = "Whoever sits between can use the signer. Use https://, or a private network on purpose."
        found.append(Warning("The way to the operator's signer is not encrypted.", hint=hint, id="chain.W022"))
    if not is_checksum_address(settings.OPERATOR_ADDRESS):
        hint = "Set WEIGHHOUSE_OPERATOR_ADDRESS to the account that the signer signs for, with its EIP-55 checksum."
        found.append(Error("The operator's signer is named and its account is not.", hint=hint, id="chain.E024"))
    if settings.OPERATOR_KEY:
        hint = "Set only one of WEIGHHOUSE_OPERATOR_SIGNER_URL and WEIGHHOUSE_OPERATOR_KEY."
        found.append(Error("Settings name two signers for the operator.", hint=hint, id="chain.E025"))
    return found


@register("chain")
def spend_cap_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    limits = ("OPERATOR_DAILY_SPEND_WEI", "OPERATOR_LOW_BALANCE_WEI", "OPERATOR_MAX_FEE_WEI", "OUTBOX_MAX_IN_FLIGHT")
    for name in limits:
        least = 0 if name in limits[:2] else 1
        if getattr(settings, name) < least:
            hint = f"Set WEIGHHOUSE_{name} to {least} or more."
            found.append(Error(f"WEIGHHOUSE_{name} is less than {least}.", hint=hint, id="chain.E026"))
    sends = settings.OPERATOR_KEY or settings.OPERATOR_SIGNER_URL
    if sends and not settings.OPERATOR_DAILY_SPEND_WEI and not settings.DEMO:
        hint = "Set WEIGHHOUSE_OPERATOR_DAILY_SPEND_WEI to the most that fees may cost in 24 hours."
        message = "Nothing limits what the operator's transactions may cost in a day."
        found.append(Warning(message, hint=hint, id="chain.W021"))
    return found
