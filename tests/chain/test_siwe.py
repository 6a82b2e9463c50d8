"""Sign-in messages: what is accepted, and each single thing that is refused."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from chain import siwe
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.errors import (
    SignInChainDiffers,
    SignInDomainDiffers,
    SignInExpired,
    SignInMessageError,
    SignInNonceDiffers,
    SignInSignatureInvalid,
)

PERSON, OTHER = DEVELOPMENT_ACCOUNTS[2], DEVELOPMENT_ACCOUNTS[3]
NONCE = "abcdef0123456789"


def sign(message: str, key: str = PERSON.key) -> str:
    return "0x" + Account.sign_message(encode_defunct(text=message), key).signature.hex()


def verify(message: str, signature: str | None = None, *, nonce: str = NONCE) -> str:
    return siwe.message_verify(message, signature or sign(message), nonce=nonce)


@pytest.fixture
def message() -> str:
    return siwe.message_build(PERSON.address, nonce=NONCE)


def issued(age: timedelta) -> str:
    return (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")


def reissued(message: str, age: timedelta) -> str:
    lines = message.split("\n")
    lines = [line for line in lines if not line.startswith("Expiration Time")]
    return "\n".join(f"Issued At: {issued(age)}" if line.startswith("Issued At") else line for line in lines)


def test_message_names_site_chain_nonce_and_what_it_costs(message):
    assert message.startswith("testserver wants you to sign in with your Ethereum account:\n" + PERSON.address)
    assert "URI: http://testserver\n" in message
    assert "Chain ID: 31337\n" in message
    assert f"Nonce: {NONCE}\n" in message
    assert "costs nothing" in message


def test_message_signed_by_its_address_gives_the_checksummed_address(message):
    assert verify(message) == PERSON.address


def test_message_built_for_a_lower_case_address_is_checksummed():
    assert PERSON.address in siwe.message_build(PERSON.address.lower(), nonce=NONCE)


def test_message_from_a_wallet_without_expiry_is_accepted_while_young(message):
    assert verify(reissued(message, timedelta(minutes=4))) == PERSON.address


@pytest.mark.parametrize("age", [timedelta(minutes=5, seconds=5), timedelta(days=3), timedelta(minutes=-2)])
def test_message_that_is_too_old_or_from_the_future_is_refused(message, age):
    with pytest.raises(SignInExpired):
        verify(reissued(message, age))


def test_message_past_its_own_expiry_is_refused(message):
    past = "\n".join(
        f"Expiration Time: {issued(timedelta(seconds=1))}" if line.startswith("Expiration") else line
        for line in message.split("\n")
    )
    with pytest.raises(SignInExpired):
        verify(past)


def test_message_for_another_nonce_is_refused(message):
    with pytest.raises(SignInNonceDiffers):
        verify(message, nonce="0123456789abcdef")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("testserver wants", "evil.example wants", SignInDomainDiffers),
        ("testserver wants", "testserver:81 wants", SignInDomainDiffers),
        ("testserver wants", "http://testserver wants", SignInDomainDiffers),
        ("testserver wants", "evil://testserver wants", SignInDomainDiffers),
        ("URI: http://testserver", "URI: http://evil.example", SignInDomainDiffers),
        ("URI: http://testserver", "URI: http://testserver.evil.example", SignInDomainDiffers),
        ("Chain ID: 31337", "Chain ID: 1", SignInChainDiffers),
    ],
)
def test_message_for_another_place_is_refused_although_well_signed(message, old, new, error):
    assert old in message
    with pytest.raises(error):
        verify(message.replace(old, new))


def test_signature_of_somebody_else_is_refused(message):
    with pytest.raises(SignInSignatureInvalid):
        verify(message, sign(message, OTHER.key))


def test_signature_of_another_message_is_refused(message):
    with pytest.raises(SignInSignatureInvalid):
        verify(message, sign(siwe.message_build(PERSON.address, nonce="f" * 16)))


@pytest.mark.parametrize(
    "signature", ["0x", "0x00", "", "0x" + "00" * 65, "0x" + "ff" * 65, "zz" * 65, "0x" + "aa" * 5000]
)
def test_signature_of_another_form_is_refused(message, signature):
    with pytest.raises(SignInSignatureInvalid):
        siwe.message_verify(message, signature, nonce=NONCE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "hello",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("Version: 1", "Version: 2"),
        lambda text: text.replace(PERSON.address, PERSON.address.swapcase().replace("0X", "0x")),
        lambda text: text + "\nResources:\n" + "- https://x.example/a\n" * 500,
        lambda text: text.replace("nothing", "nothing\u202e"),
        lambda text: text.replace("Issued At: 2", "Issued At: 9999-99-99T99:99:99Z2"),
        lambda text: "\n".join(
            "Issued At: 2024-02-31T25:61:61Z" if "Issued" in line else line for line in text.split("\n")
        ),
        lambda text: "\n".join(line for line in text.split("\n") if not line.startswith("Nonce")),
        lambda text: text.replace(f"Nonce: {NONCE}", f"Nonce: {NONCE}\nNonce: {NONCE}"),
    ],
)
def test_message_of_another_form_is_refused(message, damage):
    damaged = damage(message)
    with pytest.raises(SignInMessageError):
        verify(damaged, "0x" + "11" * 65)


def test_message_for_no_address_is_refused():
    with pytest.raises(SignInMessageError):
        siwe.message_build("0x1234", nonce=NONCE)


@pytest.mark.parametrize("first", ["a." * 450, "a." * 400 + " wants you to sign in with your Ethereum account:"])
def test_message_that_would_keep_the_grammar_busy_is_refused_before_it_is_parsed(first, monkeypatch):
    monkeypatch.setattr(siwe, "_library", lambda: pytest.fail("The library was asked."))
    with pytest.raises(SignInMessageError):
        siwe._parse(f"{first}\nNonce: {NONCE}")


def test_message_of_an_address_without_its_checksum_is_refused(message):
    with pytest.raises(SignInMessageError, match="checksum"):
        verify(message.replace(PERSON.address, PERSON.address.lower()))


def test_processes_that_verify_no_sign_in_do_not_import_the_library():
    code = "import sys, chain.siwe; sys.exit('siwe' in sys.modules or 'web3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
