"""Sign-in with Ethereum (EIP-4361): the message that a wallet signs, and the check of what comes back.

The caller keeps the nonce: it belongs to one session and is spent by the first attempt. Everything else that EIP-4361
lets a relying party check is checked here, always. Signatures of contract wallets (ERC-1271) are refused for now.
"""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import siwe
from abnf.parser import GrammarError, ParseError
from django.conf import settings

from chain.abi import checksum
from chain.errors import (
    SignInChainDiffers,
    SignInDomainDiffers,
    SignInExpired,
    SignInMessageError,
    SignInNonceDiffers,
    SignInSignatureInvalid,
)

STATEMENT = "Sign in to Weighhouse. This costs nothing and sends no transaction."
MAX_AGE = timedelta(minutes=5)
# A wallet's clock may run ahead of ours by this much.
CLOCK_SKEW = timedelta(minutes=1)
MESSAGE_MAX_CHARS = 2_000
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def message_build(address: str, *, nonce: str, statement: str = STATEMENT) -> str:
    """The message for `address` to sign, valid for five minutes. `nonce`: 8 letters or digits at least.

    Raises `SignInMessageError` where `address` is no address.
    """
    if not _ADDRESS.fullmatch(address):
        raise SignInMessageError("An address is written as 0x and 40 hex digits.")
    now = datetime.now(UTC)
    message = siwe.SiweMessage(
        domain=_domain(),
        address=checksum(address),
        statement=statement,
        uri=settings.SITE_URL,
        version="1",
        chain_id=settings.CHAIN_ID,
        nonce=nonce,
        issued_at=siwe.ISO8601Datetime.from_datetime(now, timespec="seconds"),
        expiration_time=siwe.ISO8601Datetime.from_datetime(now + MAX_AGE, timespec="seconds"),
    )
    return str(message.prepare_message())


def message_verify(message: str, signature: str, *, nonce: str) -> str:
    """The checksummed address that signed `message` for this site, this chain and `nonce`.

    Raises `SignInMessageError` or one of its subclasses, each of which says what to do.
    """
    parsed = _parse(message)
    _place_check(parsed, nonce)
    _time_check(parsed)
    if not _SIGNATURE.fullmatch(signature):
        raise SignInSignatureInvalid(
            "A signature has 65 bytes, written as 0x and hex. Contract wallets cannot sign in."
        )
    try:
        parsed.verify(
            signature,
            domain=_domain(),
            nonce=nonce,
            uri=settings.SITE_URL,
            chain_id=settings.CHAIN_ID,
            strict=True,
        )
    except siwe.VerificationError as error:
        text = "The signature does not belong to this message and address. Sign the message again."
        raise SignInSignatureInvalid(text) from error
    return checksum(parsed.address.lower())


def _parse(message: str) -> siwe.SiweMessage:
    if len(message) > MESSAGE_MAX_CHARS or not message.isascii():
        raise SignInMessageError("A sign-in message is ASCII text of at most 2,000 characters.")
    try:
        parsed = siwe.SiweMessage.from_message(message)
    except (ValueError, ParseError, GrammarError, RecursionError) as error:
        raise SignInMessageError("This is not a sign-in message of the form that EIP-4361 defines.") from error
    # The library checks the signature of what it writes, not of what it read.
    if parsed.prepare_message() != message:
        raise SignInMessageError("The message is not in the exact form of EIP-4361; sign the text that the site gives.")
    return parsed


def _place_check(parsed: siwe.SiweMessage, nonce: str) -> None:
    if parsed.domain != _domain():
        raise SignInDomainDiffers(
            f"The message is for {parsed.domain[:100]}, this site is {_domain()}. Do not sign it."
        )
    if parsed.uri != settings.SITE_URL:
        raise SignInDomainDiffers(f"The message's URI has to be {settings.SITE_URL}.")
    if parsed.chain_id != settings.CHAIN_ID:
        text = f"The wallet is on chain {parsed.chain_id}, this site on {settings.CHAIN_ID}. Switch and sign again."
        raise SignInChainDiffers(text, expected=settings.CHAIN_ID, actual=parsed.chain_id)
    if parsed.nonce != nonce:
        raise SignInNonceDiffers("The message answers another challenge. Start signing in again.")


def _time_check(parsed: siwe.SiweMessage) -> None:
    now = datetime.now(UTC)
    issued = _moment(parsed.issued_at)
    too_late = parsed.expiration_time is not None and now >= _moment(parsed.expiration_time)
    too_early = parsed.not_before is not None and now < _moment(parsed.not_before)
    if now - issued > MAX_AGE or issued - now > CLOCK_SKEW or too_late or too_early:
        text = "The message is not valid at this time: it may be five minutes old at most. Start signing in again."
        raise SignInExpired(text)


def _moment(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise SignInMessageError(f"{value[:40]!r} is not a time.") from error
    if moment.tzinfo is None:
        raise SignInMessageError(f"{value[:40]!r} names no time zone.")
    return moment


def _domain() -> str:
    return str(urlsplit(settings.SITE_URL).netloc)
