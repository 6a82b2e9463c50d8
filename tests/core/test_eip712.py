"""Typed data: the digests are those of an independent implementation, and what does not fit is refused."""

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from weighhouse.core import eip712
from weighhouse.core.eip712 import Domain, TypedDataError

MARKET, PAYER, OTHER = ("0x" + digit * 40 for digit in "aB1")
WORD = "0x" + "5c" * 32
DOMAIN = eip712.market_domain(31337, MARKET)
TOKEN = Domain("USD Coin", "2", 1, OTHER)
STATEMENTS = {
    "cancel": eip712.cancel_request(DOMAIN, licence_id=2**200 + 7, to=PAYER, deadline=2**64),
    "deliver": eip712.deliver_request(DOMAIN, licence_id=1, recipient_key=WORD, deadline=0),
    "permit": eip712.permit(TOKEN, owner=PAYER, spender=MARKET, value_units=2**256 - 1, nonce=3, deadline=9),
    "receive": eip712.receive_authorization(
        TOKEN, payer=PAYER, payee=MARKET, value_units=5, valid_after=0, valid_before=2**48, nonce=WORD
    ),
}
TYPES = {
    "cancel": "Cancel(uint256 licenceId,address to,uint256 deadline)",
    "deliver": "Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)",
    "permit": "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
    "receive": "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
    "bytes32 nonce)",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_digest_is_that_of_another_implementation(name):
    typed = STATEMENTS[name]
    full = typed.json()
    signable = encode_typed_data(full_message=full)
    assert typed.digest() == keccak(b"\x19" + signable.version + signable.header + signable.body)
    signed = Account.from_key("0x" + "11" * 32).sign_typed_data(full_message=full)
    assert (
        Account._recover_hash(typed.digest(), signature=signed.signature) == Account.from_key("0x" + "11" * 32).address
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_type_is_written_as_in_the_specification(name):
    typed = STATEMENTS[name]
    members = ",".join(f"{kind} {member}" for member, kind in typed.members)
    assert f"{typed.primary_type}({members})" == TYPES[name]


def test_json_for_a_wallet_has_no_number_that_a_browser_would_round():
    full = STATEMENTS["cancel"].json()
    assert full["message"] == {"licenceId": str(2**200 + 7), "to": PAYER, "deadline": str(2**64)}
    assert full["domain"] == {"name": "Weighhouse", "version": "1", "chainId": "31337", "verifyingContract": MARKET}
    assert full["primaryType"] == "Cancel"
    assert set(full["types"]) == {"EIP712Domain", "Cancel"}


def test_digest_depends_on_every_part_of_the_domain_and_the_message():
    base = {"licence_id": 1, "to": PAYER, "deadline": 5}
    domains = [
        DOMAIN,
        eip712.market_domain(1, MARKET),
        eip712.market_domain(31337, PAYER),
        Domain("Weighhouse", "2", 31337, MARKET),
        Domain("Weighhaus", "1", 31337, MARKET),
    ]
    messages = [base, base | {"licence_id": 2}, base | {"to": OTHER}, base | {"deadline": 6}]
    digests = {eip712.cancel_request(domain, **message).digest() for domain in domains for message in messages}
    assert len(digests) == len(domains) * len(messages)


def test_authorization_nonce_is_the_hash_that_the_market_computes_and_binds_every_value():
    base = {"plan_id": 3, "plan_hash": WORD, "recipient": PAYER, "price_units": 9, "salt": "0x" + "01" * 32}
    types = ["bytes32", "uint256", "address", "uint256", "bytes32", "address", "uint256", "bytes32"]
    values = [keccak(text="Weighhouse.buy"), 31337, MARKET, 3, bytes.fromhex(WORD[2:]), PAYER, 9, b"\x01" * 32]
    nonce = eip712.authorization_nonce(DOMAIN, **base)
    assert nonce == "0x" + keccak(encode(types, values)).hex()
    changes = [
        {"plan_id": 4},
        {"plan_hash": "0x" + "00" * 32},
        {"recipient": OTHER},
        {"price_units": 8},
        {"salt": WORD},
    ]
    nonces = {eip712.authorization_nonce(DOMAIN, **base | change) for change in changes}
    nonces.add(eip712.authorization_nonce(eip712.market_domain(1, MARKET), **base))
    nonces.add(eip712.authorization_nonce(eip712.market_domain(31337, PAYER), **base))
    assert len(nonces | {nonce}) == len(changes) + 3


@pytest.mark.parametrize(
    "change",
    [
        {"licence_id": -1},
        {"licence_id": 2**256},
        {"licence_id": "1"},
        {"licence_id": True},
        {"licence_id": 1.0},
        {"to": "0x1234"},
        {"to": "0x" + "g" * 40},
        {"to": "0x" + "1" * 40 + "\n"},
        {"to": 5},
        {"deadline": None},
    ],
)
def test_value_that_does_not_fit_is_refused(change):
    typed = eip712.cancel_request(DOMAIN, **{"licence_id": 1, "to": PAYER, "deadline": 5} | change)
    with pytest.raises(TypedDataError):
        typed.digest()
    with pytest.raises(TypedDataError):
        typed.json()


@pytest.mark.parametrize("key", ["0x" + "00" * 31, "0x" + "00" * 33, "00" * 32, 7, WORD.upper()])
def test_word_of_another_length_or_form_is_refused(key):
    with pytest.raises(TypedDataError):
        eip712.deliver_request(DOMAIN, licence_id=1, recipient_key=key, deadline=1).digest()


def test_keccak_is_that_of_ethereum():
    assert eip712.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
