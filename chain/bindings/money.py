"""ERC-20 with EIP-2612 and EIP-3009, as `TestUSD` has them.

At another address than `TestUSD`'s it is somebody else's contract: what it answers is a stranger's word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from chain.bindings.base import Contract, View
from chain.bindings.tokens import Data
from chain.transactions import TransactionRequest

_TIMED = "(address,address,uint256,uint256,uint256,bytes32,"


@dataclass(frozen=True, slots=True)
class SigningDomain:
    """EIP-5267: what a token's signatures are for. `fields` is a bit set."""

    fields: str
    name: str
    version: str
    chain_id: int
    verifying_contract: str
    salt: str
    extensions: Sequence[int]


@dataclass(frozen=True, slots=True)
class TransferAuthorization:
    """An EIP-3009 transfer. Times are in unix seconds of block time, both exclusive."""

    sender: str
    to: str
    value_units: int
    valid_after: int
    valid_before: int
    nonce: Data

    def values(self) -> tuple[Any, ...]:
        return self.sender, self.to, self.value_units, self.valid_after, self.valid_before, self.nonce


@dataclass(frozen=True, slots=True)
class Token(Contract):
    """Amounts are in the token's smallest unit."""

    artefact: ClassVar[str] = "TestUSD"

    def approve(self, spender: str, value_units: int) -> TransactionRequest:
        return self._send("approve", spender, value_units)

    def transfer(self, to: str, value_units: int) -> TransactionRequest:
        return self._send("transfer", to, value_units)

    def transfer_from(self, sender: str, to: str, value_units: int) -> TransactionRequest:
        return self._send("transferFrom", sender, to, value_units)

    def mint(self, to: str, amount_units: int) -> TransactionRequest:
        """`TestUSD` alone: anyone mints any amount."""
        return self._send("mint", to, amount_units)

    def permit(  # noqa: PLR0917 - EIP-2612's own order
        self, owner: str, spender: str, value_units: int, deadline: int, v: int, r: Data, s: Data
    ) -> TransactionRequest:
        return self._send("permit", owner, spender, value_units, deadline, v, r, s)

    def transfer_with_authorization(
        self, authorization: TransferAuthorization, v: int, r: Data, s: Data
    ) -> TransactionRequest:
        function = f"transferWithAuthorization{_TIMED}uint8,bytes32,bytes32)"
        return self._send(function, *authorization.values(), v, r, s)

    def transfer_with_wallet_authorization(
        self, authorization: TransferAuthorization, signature: Data
    ) -> TransactionRequest:
        """The form with the signature as bytes, for contract wallets."""
        return self._send(f"transferWithAuthorization{_TIMED}bytes)", *authorization.values(), signature)

    def receive_with_authorization(
        self, authorization: TransferAuthorization, v: int, r: Data, s: Data
    ) -> TransactionRequest:
        function = f"receiveWithAuthorization{_TIMED}uint8,bytes32,bytes32)"
        return self._send(function, *authorization.values(), v, r, s)

    def receive_with_wallet_authorization(
        self, authorization: TransferAuthorization, signature: Data
    ) -> TransactionRequest:
        return self._send(f"receiveWithAuthorization{_TIMED}bytes)", *authorization.values(), signature)

    def cancel_authorization(self, authorizer: str, nonce: Data, *, v: int, r: Data, s: Data) -> TransactionRequest:
        return self._send("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)", authorizer, nonce, v, r, s)

    def cancel_wallet_authorization(self, authorizer: str, nonce: Data, signature: Data) -> TransactionRequest:
        return self._send("cancelAuthorization(address,bytes32,bytes)", authorizer, nonce, signature)

    def allowance(self, owner: str, spender: str) -> View[int]:
        return self._view("allowance", owner, spender, make=int)

    def balance_of(self, account: str) -> View[int]:
        return self._view("balanceOf", account, make=int)

    def total_supply(self) -> View[int]:
        return self._view("totalSupply", make=int)

    def decimals(self) -> View[int]:
        return self._view("decimals", make=int)

    def name(self) -> View[str]:
        return self._view("name", make=str)

    def symbol(self) -> View[str]:
        return self._view("symbol", make=str)

    def version(self) -> View[str]:
        return self._view("version", make=str)

    def nonces(self, owner: str) -> View[int]:
        """EIP-2612: the nonce of the owner's next permit."""
        return self._view("nonces", owner, make=int)

    def authorization_state(self, authorizer: str, nonce: Data) -> View[bool]:
        """EIP-3009: whether the nonce was used or cancelled."""
        return self._view("authorizationState", authorizer, nonce, make=bool)

    def domain_separator(self) -> View[str]:
        return self._view("DOMAIN_SEPARATOR", make=str)

    def eip712_domain(self) -> View[SigningDomain]:
        return self._view("eip712Domain", make=SigningDomain)
