"""Sign-in with Ethereum (EIP-4361): the message that a wallet signs, and the check of what comes back.

The caller keeps the nonce: it belongs to one session and is spent by the first attempt. Everything else that EIP-4361
lets a relying party check is checked here, always. Signatures of contract wallets (ERC-1271) are refused for now.
"""

import re
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

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

if TYPE_CHECKING:
    from siwe import SiweMessage

STATEMENT = "Sign in to Weighhouse. This costs nothing and sends no transaction."
MAX_AGE = timedelta(minutes=5)
# A wallet's clock may run ahead of ours by this much.
CLOCK_SKEW = timedelta(minutes=1)
# The site's own message has about 320. The library's grammar backtracks, so what it reads is kept short.
MESSAGE_MAX_CHARS = 1_000
_HEADER = " wants you to sign in with your Ethereum account:"
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def message_build(address: str, *, nonce: str, statement: str = STATEMENT) -> str:
    """The message for `address` to sign, valid for five minutes. `nonce`: 8 letters or digits at least.

    Raises `SignInMessageError` where `address` is no address.
    """
    if not _ADDRESS.fullmatch(address):
        raise SignInMessageError("An address is written as 0x and 40 hex digits.")
    siwe = _library()
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
    siwe = _library()
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


def _library() -> ModuleType:
    # It compiles two grammars and imports web3, seconds that every command and worker would pay at its start.
    import siwe  # noqa: PLC0415

    return siwe  # type: ignore[no-any-return]


def _parse(message: str) -> "SiweMessage":
    if len(message) > MESSAGE_MAX_CHARS or not message.isascii():
        raise SignInMessageError(f"A sign-in message is ASCII text of at most {MESSAGE_MAX_CHARS:,} characters.")
    _first_lines_check(message)
    try:
        parsed = _library().SiweMessage.from_message(message)
    except (ValueError, ParseError, GrammarError, RecursionError) as error:
        raise SignInMessageError("This is not a sign-in message of the form that EIP-4361 defines.") from error
    # The library checks the signature of what it writes, not of what it read.
    if parsed.prepare_message() != message:
        raise SignInMessageError("The message is not in the exact form of EIP-4361; sign the text that the site gives.")
    return parsed


def _first_lines_check(message: str) -> None:
    """Who asks and who signs, before the library's grammar, which takes seconds over a first line of many dots."""
    header, _, rest = message.partition("\n")
    if not header.endswith(_HEADER):
        raise SignInMessageError("This is not a sign-in message of the form that EIP-4361 defines.")
    _domain_check(header.removesuffix(_HEADER))
    address = rest.partition("\n")[0]
    if not _ADDRESS.fullmatch(address) or checksum(address.lower()) != address:
        raise SignInMessageError("The message's second line has to be an address with the checksum of EIP-55.")


def _domain_check(domain: str) -> None:
    if domain != _domain():
        raise SignInDomainDiffers(f"The message is for {domain[:100]}, this site is {_domain()}. Do not sign it.")


def _place_check(parsed: "SiweMessage", nonce: str) -> None:
    _domain_check(parsed.domain)
    if parsed.uri != settings.SITE_URL:
        raise SignInDomainDiffers(f"The message's URI has to be {settings.SITE_URL}.")
    if parsed.chain_id != settings.CHAIN_ID:
        text = f"The wallet is on chain {parsed.chain_id}, this site on {settings.CHAIN_ID}. Switch and sign again."
        raise SignInChainDiffers(text, expected=settings.CHAIN_ID, actual=parsed.chain_id)
    if parsed.nonce != nonce:
        raise SignInNonceDiffers("The message answers another challenge. Start signing in again.")


def _time_check(parsed: "SiweMessage") -> None:
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
