"""What the site asks people to sign is what the contracts take: the same digests as documents written out by hand."""

from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from weighhouse.core import eip712

from tests.contracts_model import payments, signing
from tests.contracts_model.conftest import Cast
from tests.contracts_model.twin import Twin

CHAIN = 31337
MARKET = "0x" + "5b" * 20
KEY = "0x" + "ab" * 32
DOMAIN = eip712.Domain("Weighhouse", "1", CHAIN, MARKET)
PAYER, PAYEE = "0x" + "11" * 20, "0x" + "22" * 20


def digest_of(kind: str, message: dict[str, Any]) -> bytes:
    document = signing.typed(kind, message, chain_id=CHAIN, contract=MARKET)
    signable = encode_typed_data(full_message=document)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


@pytest.mark.parametrize(
    ("ours", "kind", "message"),
    [
        (
            eip712.cancel_request(DOMAIN, licence_id=2**70 + 1, to=PAYEE, deadline=99),
            "Cancel",
            {"licenceId": 2**70 + 1, "to": PAYEE, "deadline": 99},
        ),
        (
            eip712.deliver_request(DOMAIN, licence_id=7, recipient_key=KEY, deadline=2**256 - 1),
            "Deliver",
            {"licenceId": 7, "recipientKey": KEY, "deadline": 2**256 - 1},
        ),
        (
            eip712.permit(DOMAIN, owner=PAYER, spender=PAYEE, value_units=5, nonce=3, deadline=99),
            "Permit",
            {"owner": PAYER, "spender": PAYEE, "value": 5, "nonce": 3, "deadline": 99},
        ),
        (
            eip712.receive_authorization(
                DOMAIN, payer=PAYER, payee=PAYEE, value_units=5, valid_after=1, valid_before=2, nonce=KEY
            ),
            "ReceiveWithAuthorization",
            {"from": PAYER, "to": PAYEE, "value": 5, "validAfter": 1, "validBefore": 2, "nonce": KEY},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_digest_of_a_request_is_that_of_the_document(
    ours: eip712.TypedData, kind: str, message: dict[str, Any]
) -> None:
    assert ours.digest() == digest_of(kind, message)


def test_domain_of_the_market_is_the_contracts(twin: Twin) -> None:
    domain = eip712.market_domain(CHAIN, twin.address)
    assert twin.fixture.read("LicenceMarket", "DOMAIN_SEPARATOR", []) == "0x" + domain.separator().hex()


def test_nonce_of_an_authorization_is_the_contracts(twin: Twin, cast: Cast, model_id: int) -> None:
    plan_id = twin.add_plan(model_id, by=cast.publisher, token=twin.usd, price=12_345)
    paid = payments.Authorization(cast.buyer, 0, 1, b"\x07" * 32)
    ours = payments.nonce(twin, plan_id, paid, recipient=cast.friend)
    asked = twin.contract.authorization_nonce(plan_id, twin.plan_hash(plan_id), cast.friend, paid.salt).read()
    assert asked == "0x" + ours.hex()
