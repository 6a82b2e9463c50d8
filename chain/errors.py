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
    """Another indexer or sender took over. Nothing of the transaction that noticed is kept."""

    code = "chain.lease_lost"
    retryable = True


class HandlerFailed(WeighhouseError):
    """An app's handler raised. The stream stands before the block until that is mended."""

    code = "chain.handler_failed"


class FinalityViolated(WeighhouseError):
    """The chain left a branch that it had called final: a broken node, or another chain with the same id."""

    code = "chain.finality_violated"


class AuditImpossible(WeighhouseError):
    """The database cannot be compared with the chain now. It says nothing about either."""

    code = "chain.audit_impossible"
    retryable = True


class DevelopmentOnly(WeighhouseError):
    """Something that is safe on a development chain only was asked for elsewhere."""

    code = "chain.development_only"


class RebuildOvertaken(WeighhouseError):
    """The running indexer is further than an index that was rebuilt beside it."""

    code = "chain.rebuild_overtaken"
    retryable = True


class SignInMessageError(WeighhouseError):
    """The base of what can be wrong with a sign-in message or its signature."""

    code = "siwe.malformed"


class SignInDomainDiffers(SignInMessageError):
    """The message was made for another site."""

    code = "siwe.domain_mismatch"


class SignInChainDiffers(SignInMessageError):
    """The wallet is on another chain."""

    code = "siwe.chain_mismatch"


class SignInNonceDiffers(SignInMessageError):
    code = "siwe.nonce_mismatch"


class SignInExpired(SignInMessageError):
    """Older than five minutes, from the future, or outside the times that the message itself names."""

    code = "siwe.expired"


class SignInSignatureInvalid(SignInMessageError):
    """The signature is not of this message by this address."""

    code = "siwe.signature_invalid"


class DemoWalletRefused(WeighhouseError):
    """The demo wallet does not do that. `rpc_code` follows EIP-1193 and EIP-3326."""

    code = "chain.demo_wallet_refused"

    def __init__(self, message: str, *, rpc_code: int = 4200) -> None:
        super().__init__(message, rpc_code=rpc_code)
        self.rpc_code = rpc_code


class TransactionTimeout(WeighhouseError):
    """A transaction that was sent is in no block yet. It may still get there."""

    code = "chain.transaction_timeout"
    retryable = True


class TransactionFailed(WeighhouseError):
    """A transaction is in a block and failed there."""

    code = "chain.transaction_failed"
