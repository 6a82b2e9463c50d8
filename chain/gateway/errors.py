"""What can go wrong between the site and a node, named once.

Only `RangeTooLarge` makes the indexer ask for fewer blocks; every other retryable error makes it wait.
"""

import re
from typing import Any, ClassVar

from weighhouse.core.errors import WeighhouseError

REVERTED = "chain.reverted"
TEXT_LIMIT = 300
_URL = re.compile(r"\b(?:https?|wss?)://\S+", re.IGNORECASE)
# https://docs.soliditylang.org/en/latest/control-structures.html#panic-via-assert-and-error-via-require
_PANICS = {
    0x01: "an assertion failed",
    0x11: "a number became too large or negative",
    0x12: "a division by zero",
    0x21: "a value that is not one of its kind",
    0x31: "taking from an empty list",
    0x32: "a place beyond the end of a list",
    0x41: "too much memory",
}


class ChainError(WeighhouseError):
    code = "chain.error"


class RangeTooLarge(ChainError):
    """The node will not answer for that many blocks or that many logs at once."""

    code = "chain.range_too_large"
    retryable = True


class RateLimited(ChainError):
    """The node asks to be asked later. `retry_after` is in seconds."""

    code = "chain.rate_limited"
    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retry_after = retry_after


class NodeBehind(ChainError):
    """The node does not have the block that was asked for: it lags, or that block left its chain."""

    code = "chain.node_behind"
    retryable = True


class NodeUnavailable(ChainError):
    """No node answered, or what answered was not an answer."""

    code = "chain.node_unavailable"
    retryable = True


class WrongChain(ChainError):
    """A node serves another chain than the settings name."""

    code = "chain.wrong_chain"

    def __init__(self, message: str, *, expected: int, actual: int) -> None:
        super().__init__(message, expected=expected, actual=actual)
        self.expected = expected
        self.actual = actual


class Reverted(ChainError):
    """A call was refused by a contract.

    `error` is the custom error's name in Solidity (`Error` for a text, `Panic` for a failed assertion, `Unknown` for
    what no interface of ours declares), `error_args` its arguments by their names there. The subclasses say which.
    `revert_data` are the bytes as the node gave them, for those who decode them themselves.
    """

    code = REVERTED
    revert_data: bytes = b""

    def __init__(self, error: str, args: dict[str, Any], *, message: str) -> None:
        super().__init__(message, error=error, args={name: _json_safe(value) for name, value in args.items()})
        self.error = error
        self.error_args = args


class ContractRefusal(Reverted):
    """The base of `chain.gateway.reverts`: a custom error whose arguments are attributes, in the order of the ABI.

    A subclass states `sentence`, for people: what happened and what to do. Its code is `chain.reverted.<name>`.
    """

    sentence: ClassVar[str] = "The contract refused the call."
    # Names of the arguments, in order.
    fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.code = f"{REVERTED}.{_snake(cls.__name__)}"
        cls.fields = tuple(cls.__annotations__)

    def __init__(self, args: dict[str, Any]) -> None:
        """`args` are by the ABI's names, in its order."""
        shown = dict(zip(self.fields, args.values(), strict=True))
        for name, value in shown.items():
            setattr(self, name, value)
        safe = {name: _json_safe(value) for name, value in shown.items()}
        super().__init__(type(self).__name__, args, message=self.sentence.format(**safe))


class RevertedWithText(Reverted):
    """A contract gave its reason in words, `text`: a stranger's, cut and on one line."""

    code = REVERTED + ".text"

    def __init__(self, text: str) -> None:
        self.text = text_clean(text)
        super().__init__("Error", {"message": self.text}, message=f"The contract refused the call: {self.text}")


class Panicked(Reverted):
    """An assertion or a calculation failed inside a contract."""

    code = REVERTED + ".panic"

    def __init__(self, panic_code: int) -> None:
        self.panic_code = panic_code
        reason = _PANICS.get(panic_code, f"code {panic_code:#x}"[:80])
        message = f"The contract failed while it computed ({reason}). Check the numbers that were passed."
        super().__init__("Panic", {"code": panic_code}, message=message)


class RevertedUnread(Reverted):
    """A contract reverted with `revert_data` that no interface of ours describes."""

    code = REVERTED + ".unread"

    def __init__(self, revert_data: bytes) -> None:
        self.revert_data = revert_data[:1024]
        shown = "0x" + self.revert_data.hex()
        message = (
            f"The contract refused the call with a reason that is not one of ours ({shown[:74]}). It comes from the"
            " token, the recipient or a wallet; ask whoever made it."
        )
        super().__init__("Unknown", {"data": shown}, message=message)


class RevertedSilently(Reverted):
    """A contract reverted without any data, or ran out of gas. `words` are the node's."""

    code = REVERTED + ".silent"

    def __init__(self, words: str = "") -> None:
        message = f"The contract refused the call without a reason. {words}".strip()
        super().__init__("Unknown", {}, message=message)


class RpcError(ChainError):
    """The node refused a request for a reason that has no name of its own here. `rpc_code` is the node's."""

    code = "chain.rpc_error"

    def __init__(self, message: str, *, rpc_code: int | None = None) -> None:
        super().__init__(message, rpc_code=rpc_code)
        self.rpc_code = rpc_code


class SendRefused(RpcError):
    """The base of a node's refusals to take a transaction. The node's words are in the message.

    `maybe_sent` is true where another endpoint was given the same transaction before and did not answer: it may have
    taken it, so that this refusal proves nothing.
    """

    maybe_sent: bool = False


class NonceTooLow(SendRefused):
    """The nonce is used up: by this very transaction, mined meanwhile, or by another. Its hash tells which."""

    code = "chain.nonce_too_low"


class NonceTooHigh(SendRefused):
    """The node has not seen the transactions with the nonces before, and does not keep this one."""

    code = "chain.nonce_too_high"
    retryable = True


class TransactionUnderpriced(SendRefused):
    """The fee is too low: to replace the pending transaction with the same nonce (`replacement`), or to be taken."""

    code = "chain.transaction_underpriced"

    def __init__(self, message: str, *, rpc_code: int | None = None, replacement: bool = False) -> None:
        super().__init__(message, rpc_code=rpc_code)
        self.replacement = replacement


class AlreadyKnown(SendRefused):
    """The node has this very transaction. The gateway takes that for success; it is raised by nothing else."""

    code = "chain.already_known"


class InsufficientFunds(SendRefused):
    """The sender's account does not hold the value and the largest fee of the transaction."""

    code = "chain.insufficient_funds"


def text_clean(text: object) -> str:
    """A stranger's words: cut short, on one line, without control characters, without any URL (it may hold a key)."""
    line = " ".join(str(text or "")[: 8 * TEXT_LIMIT].split())
    line = _URL.sub("<url>", line)
    return "".join(char for char in line if char.isprintable())[:TEXT_LIMIT]


def _json_safe(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {str(name): _json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, int):
        return str(value)
    return value[:TEXT_LIMIT] if _is_hex(value) else text_clean(value)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"0x[0-9a-fA-F]*", value) is not None


def _snake(name: str) -> str:
    """`ERC20InsufficientBalance` as `erc20_insufficient_balance`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
