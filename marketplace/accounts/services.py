"""Signing in by a signature (EIP-4361), and API keys."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import login
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chain import siwe
from chain.prepared import Prepared
from marketplace.accounts.errors import (
    AccountClosedError,
    ApiKeyExpiredError,
    ApiKeyInvalidError,
    ApiKeyLimitError,
    ApiKeyNotFoundError,
    ApiKeyRevokedError,
    SignInNonceUnknownError,
)
from marketplace.accounts.models import Account, ApiKey, CallCapPeriod, KeyScope, SignInNonce

NONCE_LIFETIME = timedelta(minutes=5)
KEYS_PER_ACCOUNT = 50
LAST_USED_RESOLUTION = timedelta(minutes=1)
_NONCE_LINE = re.compile(r"^Nonce: ([A-Za-z0-9]{8,64})$", re.MULTILINE)
_KEY_FORM = re.compile(r"wh_([0-9a-f]{12})_([0-9a-f]{40})", re.ASCII)
BACKEND = "marketplace.accounts.backends.AddressBackend"


@dataclass(frozen=True, slots=True)
class SignInChallenge:
    """What a wallet signs. `message` is None where the caller did not name an address."""

    nonce: str
    message: str | None
    expires_at: datetime


def sign_in_begin(*, session: SessionBase, address: str | None = None) -> SignInChallenge:
    """Hand this session a challenge that it can answer once, within five minutes."""
    # A cookie may name a session that there is not, with a key of any length; nothing is kept under such a name.
    if session.session_key is None or not session.exists(session.session_key):
        session.create()
    nonce = secrets.token_hex(16)
    now = timezone.now()
    message = siwe.message_build(address, nonce=nonce) if address else None
    SignInNonce.objects.create(nonce=nonce, session_key=session.session_key or "", expires_at=now + NONCE_LIFETIME)
    return SignInChallenge(nonce=nonce, message=message, expires_at=now + NONCE_LIFETIME)


def sign_in_finish(*, request: HttpRequest, message: str, signature: str) -> Account:
    """Check a signed challenge and sign its signer in.

    1. Find the challenge that the message names among those of this session.
    2. Delete it; whoever deletes the row may go on, so an answer works once, right or wrong.
    3. Verify domain, URI, chain id, times and signature (`chain.siwe`).
    4. Create the account at its first visit, and cycle the session's key.

    Raises SignInNonceUnknownError, AccountClosedError and the `siwe.*` errors of `chain.siwe`.
    """
    found = _NONCE_LINE.search(message)
    nonce = found.group(1) if found else ""
    spent, _ = SignInNonce.objects.filter(
        nonce=nonce, session_key=request.session.session_key or "", expires_at__gt=timezone.now()
    ).delete()
    if spent != 1:
        raise SignInNonceUnknownError(
            "This sign-in message is not the one this session was given, is older than five minutes, "
            "or was used already. Start the sign-in again."
        )
    address = siwe.message_verify(message, signature, nonce=nonce)
    account, _ = Account.objects.get_or_create(address=address)
    if not account.is_active:
        raise AccountClosedError("The operator of this site closed this account. Ask the operator.")
    login(request, account, backend=BACKEND)
    return account


def sign_in_nonces_purge() -> int:
    """Delete challenges that nobody answered. Returns how many."""
    deleted, _ = SignInNonce.objects.filter(expires_at__lte=timezone.now()).delete()
    return deleted


def api_key_create(
    *,
    account: Account,
    name: str,
    scopes: list[str],
    expires_at: datetime | None = None,
    licence_id: int | None = None,
    calls_cap: int | None = None,
    calls_cap_per: str = CallCapPeriod.TOTAL,
) -> tuple[ApiKey, str]:
    """Create a key. Returns its row and the key itself, which is shown once and kept nowhere.

    With `licence_id` it is a sub-key: it runs under that licence alone, and its one scope is `run`. With `calls_cap` it
    may use so many calls, in all or per day. Whether the account holds the licence is asked at each call, not here.

    Raises ApiKeyLimitError beyond 50 usable keys, ValueError on an unknown scope or period, on a sub-key with another
    scope than `run`, and on a cap below 1.
    """
    if not scopes or set(scopes) - set(KeyScope.values):
        raise ValueError(f"scopes must be among {KeyScope.values}")
    if licence_id is not None and set(scopes) != {KeyScope.RUN}:
        raise ValueError("a key that is bound to a licence has the scope run alone")
    if calls_cap is not None and (calls_cap < 1 or calls_cap_per not in CallCapPeriod.values):
        raise ValueError(f"a cap is one call or more, per one of {CallCapPeriod.values}")
    prefix, secret = secrets.token_hex(6), secrets.token_hex(20)
    key = f"wh_{prefix}_{secret}"
    with transaction.atomic():
        # The lock makes the limit hold when keys are created at the same time.
        Account.objects.select_for_update().get(pk=account.pk)
        if account.api_keys.filter(revoked_at=None).count() >= KEYS_PER_ACCOUNT:
            raise ApiKeyLimitError(f"An account may hold {KEYS_PER_ACCOUNT} API keys. Revoke one first.")
        row = ApiKey.objects.create(
            account=account,
            name=name,
            prefix=prefix,
            key_sha256=_key_hash(key),
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
            licence_id=licence_id,
            calls_cap=calls_cap,
            calls_cap_per="" if calls_cap is None else calls_cap_per,
        )
    return row, key


def api_key_revoke(*, account: Account, prefix: str) -> ApiKey:
    """Revoke a key of this account at once. Revoking twice keeps the first date. Raises ApiKeyNotFoundError."""
    row = ApiKey.objects.filter(account=account, prefix=prefix).first()
    if row is None:
        raise ApiKeyNotFoundError(f"This account has no API key `wh_{prefix}`. List the keys to see which there are.")
    ApiKey.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=timezone.now())
    row.refresh_from_db()
    return row


def api_key_authenticate(*, key: str) -> ApiKey:
    """The row of a presented key, its account loaded, which from here on acts by this key (`acting_key`).

    Raises ApiKeyInvalidError, ApiKeyRevokedError, ApiKeyExpiredError, AccountClosedError.
    """
    match = _KEY_FORM.fullmatch(key)
    row = _key_of_prefix.first(prefix=match.group(1)) if match else None
    if row is None or not hmac.compare_digest(row.key_sha256, _key_hash(key)):
        raise ApiKeyInvalidError(
            "This is not an API key of this site. Check that it was copied whole, or create a new one."
        )
    if row.revoked_at is not None:
        raise ApiKeyRevokedError("This API key was revoked. Create a new one under API keys.")
    now = timezone.now()
    if row.expires_at is not None and row.expires_at <= now:
        raise ApiKeyExpiredError("This API key has expired. Create a new one under API keys.")
    if not row.account.is_active:
        raise AccountClosedError("The operator of this site closed this account. Ask the operator.")
    # Once a minute is enough for people, and spares a write on every call.
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_RESOLUTION)
    if row.last_used_at is None or row.last_used_at < now - LAST_USED_RESOLUTION:
        ApiKey.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    row.account.acting_key = row
    return row


@Prepared
def _key_of_prefix(prefix: Any) -> QuerySet[ApiKey]:
    return ApiKey.objects.select_related("account").filter(prefix=prefix)


def _key_hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
