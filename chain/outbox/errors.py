"""What can go wrong with a transaction that this site sends, and why the sender may wait."""

from weighhouse.core.errors import WeighhouseError


class OutboxConflict(WeighhouseError):
    """The dedupe key stands for another call already."""

    code = "outbox.dedupe_conflict"


class OutboxNotFound(WeighhouseError):
    code = "outbox.not_found"


class OutboxNotOpen(WeighhouseError):
    """The transaction's state does not allow that any more, or not yet."""

    code = "outbox.not_open"


class OutboxMoved(WeighhouseError):
    """Somebody else moved the row meanwhile. Nothing of the transaction that noticed is kept."""

    code = "outbox.moved"
    retryable = True


class FeesUnsupported(WeighhouseError):
    """The chain's blocks carry no base fee, so that it takes no EIP-1559 transactions."""

    code = "outbox.fees_unsupported"


class OutboxHeld(WeighhouseError):
    """The base of why nothing new is signed for the moment. What was signed goes on."""

    code = "outbox.held"
    retryable = True


class SpendCapReached(OutboxHeld):
    """The fees of the last 24 hours and this transaction's worst case are more than the operator allows."""

    code = "outbox.spend_cap_reached"


class LowBalance(OutboxHeld):
    """The account holds too little of the chain's coin."""

    code = "outbox.low_balance"


class FeeCapReached(OutboxHeld):
    """The chain asks for a fee per gas above what the operator allows."""

    code = "outbox.fee_cap_reached"


class NonceTaken(WeighhouseError):
    """Something else was sent with the account's key and took a nonce that was given to a transaction of ours."""

    code = "outbox.nonce_taken"


class SignerChanged(WeighhouseError):
    """The transaction was signed by an account that the settings name no longer."""

    code = "outbox.signer_changed"
