"""Errors of the chain layer that are not the node's. Those are in `chain.gateway.errors`."""

from weighhouse.core.errors import WeighhouseError


class AddressBookMissing(WeighhouseError):
    """No contracts are known for this chain yet."""

    code = "chain.address_book_missing"


class AddressBookInvalid(WeighhouseError):
    """The address book is not what `deploy_contracts` writes."""

    code = "chain.address_book_invalid"


class ContractsDiffer(WeighhouseError):
    """The code at an address of the book is not the code that was deployed there."""

    code = "chain.contracts_differ"


class UnknownContract(WeighhouseError):
    code = "chain.unknown_contract"


class EncodingError(WeighhouseError):
    """Arguments do not fit the function's types."""

    code = "chain.encoding"


class LeaseLost(WeighhouseError):
    """Another indexer took over. Nothing of the transaction that noticed is kept."""

    code = "chain.lease_lost"
    retryable = True


class FinalityViolated(WeighhouseError):
    """The chain left a branch that it had called final: a broken node, or another chain with the same id."""

    code = "chain.finality_violated"


class DevelopmentOnly(WeighhouseError):
    """Something that is safe on a development chain only was asked for elsewhere."""

    code = "chain.development_only"


class SignInMessageError(WeighhouseError):
    """A sign-in message or its signature is not acceptable. `data["reason"]` is a short word."""

    code = "chain.sign_in_refused"


class DemoWalletRefused(WeighhouseError):
    """The demo wallet does not do that. `rpc_code` follows EIP-1193 and EIP-3326."""

    code = "chain.demo_wallet_refused"

    def __init__(self, message: str, *, rpc_code: int = 4200) -> None:
        super().__init__(message, rpc_code=rpc_code)
        self.rpc_code = rpc_code
