"""Refusals that the contracts inherit from OpenZeppelin and Solady, and TestUSD's. See `chain.gateway.reverts`."""

from chain.gateway.errors import ContractRefusal

# ERC-721 (Solady), for models and licences.


class TokenDoesNotExist(ContractRefusal):
    sentence = "There is no such model or licence. Check the number."


class TokenAlreadyExists(ContractRefusal):
    sentence = "This model or licence exists already. That should not happen: tell the operator of the site."


class NotOwnerNorApproved(ContractRefusal):
    sentence = "Only the owner, or an account that the owner approved, may move this. Use the owner's account."


class TransferFromIncorrectOwner(ContractRefusal):
    sentence = "It no longer belongs to the account that is named as the sender. Look again who owns it."


class TransferToZeroAddress(ContractRefusal):
    sentence = "Nothing can be sent to the zero address. Name another recipient."


class TransferToNonERC721ReceiverImplementer(ContractRefusal):
    sentence = "The recipient is a contract that does not take such tokens. Name another recipient."


class BalanceQueryForZeroAddress(ContractRefusal):
    sentence = "The zero address owns nothing."


class AccountBalanceOverflow(ContractRefusal):
    sentence = "The account holds too many tokens."


class ValueNotTaken(ContractRefusal):
    sentence = "{sent_wei} wei were sent along with a call that takes none. Send none."
    sent_wei: int


# Ownership and safety (OpenZeppelin).


class OwnableUnauthorizedAccount(ContractRefusal):
    sentence = "{account} is not the admin of the market."
    account: str


class OwnableInvalidOwner(ContractRefusal):
    sentence = "{owner} cannot be the admin."
    owner: str


class ReentrancyGuardReentrantCall(ContractRefusal):
    sentence = "A contract called the market back in the middle of a payment. Nothing was paid."


class SafeERC20FailedOperation(ContractRefusal):
    sentence = "The token {token} refused the transfer and gave no reason. Check your balance and your approval."
    token: str


class FailedCall(ContractRefusal):
    sentence = "The recipient did not take the coins. Name another address."


class InsufficientBalance(ContractRefusal):
    sentence = "The contract holds {balance_units} and {needed_units} are needed. Tell the operator of the site."
    balance_units: int
    needed_units: int


class SafeCastOverflowedUintDowncast(ContractRefusal):
    sentence = "The number {value} does not fit into {bits} bits. Use a smaller one."
    bits: int
    value: int


class InvalidShortString(ContractRefusal):
    sentence = "A text in the contract is damaged."


class StringTooLong(ContractRefusal):
    sentence = "A text is too long: {text}"
    text: str


# ERC-20 (OpenZeppelin), EIP-2612 and EIP-3009: TestUSD, and many other tokens.


class ERC20InsufficientBalance(ContractRefusal):
    sentence = "{sender} holds {balance_units} units of the token and {needed_units} are needed."
    sender: str
    balance_units: int
    needed_units: int


class ERC20InsufficientAllowance(ContractRefusal):
    sentence = (
        "{spender} may take {allowance_units} units of the token, {needed_units} are needed. Approve the price first."
    )
    spender: str
    allowance_units: int
    needed_units: int


class ERC20InvalidApprover(ContractRefusal):
    sentence = "{approver} cannot approve anything."
    approver: str


class ERC20InvalidReceiver(ContractRefusal):
    sentence = "{receiver} cannot receive the token."
    receiver: str


class ERC20InvalidSender(ContractRefusal):
    sentence = "{sender} cannot send the token."
    sender: str


class ERC20InvalidSpender(ContractRefusal):
    sentence = "{spender} cannot be approved."
    spender: str


class ERC2612ExpiredSignature(ContractRefusal):
    sentence = "The permit was good until block time {deadline}. Sign a new one."
    deadline: int


class ERC2612InvalidSigner(ContractRefusal):
    sentence = "The permit was signed by {signer}, not by {owner}. Sign it with the account that pays."
    signer: str
    owner: str


class InvalidAccountNonce(ContractRefusal):
    sentence = "The next nonce of {account} is {current_nonce}. Sign again with that one."
    account: str
    current_nonce: int


class ECDSAInvalidSignature(ContractRefusal):
    sentence = "The signature is not one. Sign again."


class ECDSAInvalidSignatureLength(ContractRefusal):
    sentence = "A signature has 65 bytes, this one {length}. Sign again."
    length: int


class ECDSAInvalidSignatureS(ContractRefusal):
    sentence = "The signature is not in its canonical form. Sign again."
    s: str


class AuthorizationNotYetValid(ContractRefusal):
    sentence = "The authorization is good after block time {valid_after}. Wait, or sign a new one."
    valid_after: int


class AuthorizationExpired(ContractRefusal):
    sentence = "The authorization was good before block time {valid_before}. Sign a new one."
    valid_before: int


class AuthorizationSpent(ContractRefusal):
    sentence = "{authorizer} has used or cancelled this authorization. Look whether the purchase is there already."
    authorizer: str
    nonce: str


class AuthorizationSignatureInvalid(ContractRefusal):
    sentence = "This is not a signature of {authorizer} for this payment. Sign it again with the account that pays."
    authorizer: str


class CallerNotPayee(ContractRefusal):
    sentence = "Only {payee} can carry out this authorization, and {caller} tried."
    caller: str
    payee: str


class NotDevelopmentChain(ContractRefusal):
    sentence = "TestUSD is play money and does not exist on chain {chain_id}."
    chain_id: int
