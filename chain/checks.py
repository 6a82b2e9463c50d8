"""Misconfiguration, found before anything starts. No check talks to a node."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from chain.abi import ARTEFACTS_DIR, CONTRACTS
from chain.address_book import book_read
from chain.development import is_development_key
from chain.errors import AddressBookInvalid, AddressBookMissing

_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|::1")

# A licence that ended must stop working at the next call.
HEAD_MAX_AGE_LIMIT_S = 2


def is_loopback(host: str) -> bool:
    return _LOOPBACK.fullmatch(host) is not None


def _off_development() -> bool:
    return settings.CHAIN_ID not in settings.DEVELOPMENT_CHAIN_IDS


def _address(url: str) -> tuple[str, str]:
    """Scheme and host of an address, empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


@register("chain")
def demo_wallet_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.DEMO_WALLET and not settings.DEMO:
        hint = "Unset WEIGHHOUSE_DEMO_WALLET, or set WEIGHHOUSE_DEMO for a demonstration on one machine."
        found.append(Error("The demo wallet is on outside demo mode.", hint=hint, id="chain.E001"))
    if settings.DEMO_WALLET and _off_development():
        message = f"The demo wallet is on and chain {settings.CHAIN_ID} is not a development chain."
        hint = "Its keys are public. Set WEIGHHOUSE_DEMO_WALLET=false."
        found.append(Error(message, hint=hint, id="chain.E002"))
    return found


@register("chain")
def endpoint_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.RPC_URLS:
        hint = "Set WEIGHHOUSE_RPC_URL to one or more addresses, separated by commas."
        found.append(Error("No node of the chain is named.", hint=hint, id="chain.E003"))
    for place, url in enumerate(settings.RPC_URLS, 1):
        scheme, host = _address(url)
        # The address itself is not repeated: it may carry a key.
        if scheme not in {"http", "https"} or not host:
            hint = "WEIGHHOUSE_RPC_URL takes http:// and https:// addresses."
            found.append(Error(f"Endpoint {place} is not an HTTP address.", hint=hint, id="chain.E003"))
        elif scheme == "http" and not is_loopback(host):
            hint = "Whoever sits between can forge what the chain says. Use https://, or a private network on purpose."
            found.append(Warning(f"Endpoint {place} is not encrypted.", hint=hint, id="chain.W002"))
    return found


@register("chain")
def websocket_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not settings.WS_URL:
        return []
    scheme, host = _address(settings.WS_URL)
    # The address itself is not repeated: it may carry a key.
    if scheme not in {"ws", "wss"} or not host:
        hint = "WEIGHHOUSE_WS_URL takes a ws:// or wss:// address; empty, the indexer polls alone."
        return [Error("The websocket for new blocks is not a websocket's address.", hint=hint, id="chain.E009")]
    return []


@register("chain")
def faults_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.FAULTS and (not settings.DEMO or _off_development()):
        hint = "Unset WEIGHHOUSE_FAULTS: it makes processes stop at named points, for tests."
        return [Error("Fault points are armed outside demo mode.", hint=hint, id="chain.E004")]
    return []


@register("chain")
def contracts_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    missing = [name for name in CONTRACTS if not (ARTEFACTS_DIR / f"{name}.json").is_file()]
    if missing:
        message = f"There is no interface of {', '.join(missing)} in chain/contracts/abi."
        found.append(Error(message, hint="Build the contracts, or restore the committed files.", id="chain.E006"))
    try:
        book_read(settings.ADDRESS_BOOK_DIR, settings.CHAIN_ID)
    except AddressBookMissing as error:
        hint = "Run `manage.py deploy_contracts`, or copy the address book of an existing deployment."
        found.append(Warning(error.message, hint=hint, id="chain.W001"))
    except AddressBookInvalid as error:
        hint = "Restore it from a backup; on a development chain delete it and run `manage.py deploy_contracts`."
        found.append(Error(error.message, hint=hint, id="chain.E005"))
    return found


@register("chain")
def operator_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not 0 <= settings.SITE_OPERATOR_ID < 2**32:
        hint = "Set WEIGHHOUSE_SITE_OPERATOR_ID to the number that `registerOperator` gave, or to 0 for none."
        return [Error("The site's operator is not a number of an operator.", hint=hint, id="chain.E008")]
    return []


@register("chain")
def explorer_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    for url in settings.EXPLORER_URLS:
        parts = urlsplit(url)
        # A page links to it: no other scheme may get there.
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            hint = "WEIGHHOUSE_EXPLORER_URL takes https:// addresses, or templates with {tx}, {address} or {block}."
            return [Error("The block explorer is not an HTTP address.", hint=hint, id="chain.E016")]
    return []


@register("chain")
def head_age_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not 0 <= settings.HEAD_MAX_AGE_S <= HEAD_MAX_AGE_LIMIT_S:
        hint = f"Set WEIGHHOUSE_HEAD_MAX_AGE_S to 0, or to at most {HEAD_MAX_AGE_LIMIT_S} seconds."
        return [Error("Licences would be judged by a block that is too old.", hint=hint, id="chain.E015")]
    return []


@register("chain")
def deployer_key_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.DEPLOYER_KEY and is_development_key(settings.DEPLOYER_KEY) and _off_development():
        hint = "Set WEIGHHOUSE_DEPLOYER_KEY_FILE to a key of your own."
        return [Error("The deployer's key is a published test key.", hint=hint, id="chain.E007")]
    return []
