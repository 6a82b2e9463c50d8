"""Purchases that are paid by a signature: permits and authorizations, in every form the market takes."""

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.bindings.money import TransferAuthorization
from chain.bindings.structs import Authorization
from chain.transactions import TransactionRequest
from tests.contracts_model import signing
from tests.contracts_model.twin import Twin

Signature = tuple[int, bytes, bytes]


def permit_sign(twin: Twin, owner: str, value: int, *, deadline: int) -> tuple[int, int, bytes, bytes]:
    """Deadline, v, r and s, as the token's `permit` takes them."""
    message = {"owner": owner, "spender": twin.address, "value": value, "deadline": deadline}
    message["nonce"] = twin.usd_contract.nonces(owner).read()
    return deadline, *_token_sign(twin, "Permit", owner, message)


def permit_request(
    twin: Twin, plan_id: int, permit: tuple[int, int, bytes, bytes], *, recipient: str
) -> TransactionRequest:
    deadline, v, r, s = permit
    agreed = twin.plan_hash(plan_id)
    return twin.contract.buy_with_permit(plan_id, agreed, recipient, deadline=deadline, v=v, r=r, s=s)


def authorization_sign(twin: Twin, plan_id: int, paid: Authorization, *, recipient: str) -> Signature:
    receipt = _receive(twin, plan_id, paid, recipient)
    message = {"from": receipt.sender, "to": receipt.to, "value": receipt.value_units, "nonce": receipt.nonce}
    message |= {"validAfter": paid.valid_after, "validBefore": paid.valid_before}
    return _token_sign(twin, "ReceiveWithAuthorization", paid.payer, message)


def authorization_request(
    twin: Twin, plan_id: int, paid: Authorization, signature: Signature, *, recipient: str, as_bytes: bool = False
) -> TransactionRequest:
    agreed, v, r, s = twin.plan_hash(plan_id), *signature
    if as_bytes:
        return twin.contract.buy_with_wallet_authorization(
            plan_id, agreed, recipient, authorization=paid, signature=signing.joined(signature)
        )
    return twin.contract.buy_with_authorization(plan_id, agreed, recipient, authorization=paid, v=v, r=r, s=s)


def receive_directly(
    twin: Twin, plan_id: int, paid: Authorization, signature: Signature, *, recipient: str
) -> TransactionRequest:
    """Somebody else's attempt to have the tokens moved without a purchase."""
    return twin.usd_contract.receive_with_authorization(_receive(twin, plan_id, paid, recipient), *signature)


def nonce(twin: Twin, plan_id: int, paid: Authorization, *, recipient: str) -> bytes:
    """The nonce as the interface defines it."""
    terms = twin.model.plans[plan_id].terms
    operation = keccak(text="Weighhouse.buy")
    chain_id, agreed = twin.fixture.book.chain_id, twin.plan_hash(plan_id)
    types = ["bytes32", "uint256", "address", "uint256", "bytes32", "address", "uint256", "bytes32"]
    values = [operation, chain_id, twin.address, plan_id, agreed, recipient, terms.price, paid.salt]
    return keccak(encode(types, values))


def _receive(twin: Twin, plan_id: int, paid: Authorization, recipient: str) -> TransferAuthorization:
    price = twin.model.plans[plan_id].terms.price
    unique = nonce(twin, plan_id, paid, recipient=recipient)
    return TransferAuthorization(paid.payer, twin.address, price, paid.valid_after, paid.valid_before, unique)


def _token_sign(twin: Twin, kind: str, signer: str, message: dict[str, Any]) -> Signature:
    chain_id = twin.fixture.book.chain_id
    document = signing.typed(kind, message, chain_id=chain_id, contract=twin.usd, name="Test US dollar")
    return signing.sign(document, twin.fixture.keys[signer])
