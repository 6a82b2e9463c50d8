"""What can go wrong between the site and a node, named once.

Only `RangeTooLarge` makes the indexer ask for fewer blocks; every other retryable error makes it wait.
"""

from typing import Any

from weighhouse.core.errors import WeighhouseError


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
    """A call was refused by a contract. `error` is the custom error's name (`Error` for a string, `Panic` for a failed
    assertion, `Unknown` where the ABI does not know it), `args` its arguments by name."""

    code = "chain.reverted"

    def __init__(self, error: str, args: dict[str, Any] | None = None, *, message: str = "") -> None:
        shown = {name: _json_safe(value) for name, value in (args or {}).items()}
        inside = ", ".join(f"{name}={value}" for name, value in shown.items())
        super().__init__(message or f"The contract refused the call: {error}({inside}).", error=error, args=shown)
        self.error = error
        self.error_args = args or {}


class RpcError(ChainError):
    """The node refused a request for a reason that has no name of its own here. `rpc_code` is the node's."""

    code = "chain.rpc_error"

    def __init__(self, message: str, *, rpc_code: int | None = None) -> None:
        super().__init__(message, rpc_code=rpc_code)
        self.rpc_code = rpc_code


def _json_safe(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {str(name): _json_safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    return str(value)[:500]
