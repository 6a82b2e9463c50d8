"""ERC-721 as the registry and the market have it: transfers and approvals of models and licences."""

from dataclasses import dataclass

from chain.bindings.base import Contract, View
from chain.transactions import TransactionRequest

Data = bytes | str


@dataclass(frozen=True, slots=True)
class NonFungible(Contract):
    """What models and licences have in common. See EIP-721; both refuse coins sent along."""

    def approve(self, account: str, token_id: int) -> TransactionRequest:
        return self._send("approve", account, token_id)

    def set_approval_for_all(self, operator: str, is_approved: bool) -> TransactionRequest:
        return self._send("setApprovalForAll", operator, is_approved)

    def transfer_from(self, sender: str, to: str, token_id: int) -> TransactionRequest:
        return self._send("transferFrom", sender, to, token_id)

    def safe_transfer_from(self, sender: str, to: str, token_id: int) -> TransactionRequest:
        return self._send("safeTransferFrom(address,address,uint256)", sender, to, token_id)

    def safe_transfer_from_with_data(self, sender: str, to: str, token_id: int, data: Data) -> TransactionRequest:
        return self._send("safeTransferFrom(address,address,uint256,bytes)", sender, to, token_id, data)

    def balance_of(self, owner: str) -> View[int]:
        return self._view("balanceOf", owner, make=int)

    def owner_of(self, token_id: int) -> View[str]:
        return self._view("ownerOf", token_id, make=str)

    def get_approved(self, token_id: int) -> View[str]:
        return self._view("getApproved", token_id, make=str)

    def is_approved_for_all(self, owner: str, operator: str) -> View[bool]:
        return self._view("isApprovedForAll", owner, operator, make=bool)

    def token_uri(self, token_id: int) -> View[str]:
        return self._view("tokenURI", token_id, make=str)

    def name(self) -> View[str]:
        return self._view("name", make=str)

    def symbol(self) -> View[str]:
        return self._view("symbol", make=str)

    def get_state_fingerprint(self, token_id: int) -> View[str]:
        """ERC-5646: changes with everything about the token that may change, but its owner."""
        return self._view("getStateFingerprint", token_id, make=str)

    def contract_uri(self) -> View[str]:
        """ERC-7572: what the collection is, as a data URI."""
        return self._view("contractURI", make=str)

    def supports_interface(self, interface_id: Data) -> View[bool]:
        return self._view("supportsInterface", interface_id, make=bool)
