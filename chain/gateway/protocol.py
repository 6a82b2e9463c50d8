"""What the rest of the server may ask of a chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from chain.gateway.errors import Reverted


@dataclass(frozen=True, slots=True)
class Header:
    """A block header. Hashes are `0x` and lower-case hex, `timestamp` is in unix seconds."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class SealedHeader(Header):
    """A header with its logs' bloom filter, a number of 2048 bits, for `chain.gateway.seal.bloom_may_contain`.

    `logs_bloom` is `None` where it cannot be relied on: then the block's logs have to be asked for.
    """

    logs_bloom: int | None = None


@dataclass(frozen=True, slots=True)
class RawLog:
    """A log as the node gave it: hex strings in lower case, nothing decoded."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    tx_hash: str
    tx_index: int
    log_index: int


# As `eth_getLogs` takes them.
Topics = Sequence[str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest block and the newest one that the chain calls final."""

    latest: Header
    finalized_number: int


@dataclass(frozen=True, slots=True)
class Poll:
    """What one round trip tells. `next` is the canonical block at the height that was asked for, if there is one.

    `heads.latest` is never below `next`.
    """

    heads: Heads
    next: SealedHeader | None


EndpointState = Literal["unknown", "healthy", "lagging", "limited", "failing", "wrong_chain"]


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """How one endpoint fares, as this process has seen it. Its name is its place in the settings, never its address.

    `head` is the newest block that it named, `lag` how many blocks that is behind the best endpoint's, `failures`
    counts those in a row, `last_error_code` outlives them.
    """

    name: str
    state: EndpointState
    head: int | None
    lag: int | None
    failures: int
    last_error_code: str
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction that is in a block. `contract_address` is set where it created one."""

    tx_hash: str
    block_number: int
    block_hash: str
    succeeded: bool
    sender: str
    gas_used: int
    contract_address: str | None


class ChainGateway(Protocol):
    """A connection to one chain. Safe to share between threads and across forks; nothing has to be closed.

    Every method raises `NodeUnavailable`, `RateLimited` or `WrongChain`; what else it raises is said at the method.
    """

    chain_id: int

    def heads(self) -> Heads:
        """The newest and the newest final block, in one round trip, from a node whose chain id was just checked."""
        ...

    def poll(self, next_block: int | None) -> Poll:
        """`heads()` and the canonical header at `next_block` (if given), in one round trip and from one node."""
        ...

    def header_at(self, block_hash: str | None) -> SealedHeader:
        """The header with this hash, or the newest one. Raises `NodeBehind` where the node has no such block."""
        ...

    def headers(self, numbers: Sequence[int]) -> list[SealedHeader | None]:
        """The canonical headers at these heights, `None` where the node has no such block."""
        ...

    def logs_in_range(self, addresses: Sequence[str], *, first: int, last: int, topics: Topics = ()) -> list[RawLog]:
        """Logs of these contracts from block `first` to block `last`, both included, in chain order.

        `topics` names by position what a log's topics must be: one, one of several, or `None` for any.
        Raises `RangeTooLarge`, and `NodeBehind` where the node that answered does not have block `last`.
        """
        ...

    def logs_by_hash(self, addresses: Sequence[str], *, block_hashes: Sequence[str]) -> list[list[RawLog]]:
        """Logs of these contracts, one list per block. Raises `NodeBehind` where a block is not known."""
        ...

    def call(self, to: str, data: str, *, block_hash: str | None = None, sender: str | None = None) -> bytes:
        """`eth_call` at a block (the newest without one). Raises `Reverted`; `NodeBehind` for an unknown block."""
        ...

    def call_many(self, calls: Sequence[tuple[str, str]], block_hash: str | None = None) -> list[bytes | Reverted]:
        """Several `eth_call`s, each an address and its data, in batches. A refusal stands in the place of its answer.

        Without a block, neighbours may be answered at two successive ones.
        """
        ...

    def code(self, address: str) -> bytes:
        """The runtime code at an address, empty where there is none."""
        ...

    def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a transaction, `None` while it is in no block."""
        ...

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """Any other JSON-RPC method. Raises `Reverted`, `RpcError`, and whatever else the node's error means.

        `eth_sendRawTransaction` answers the transaction's hash also where the node had it already. Its refusals are
        the subclasses of `SendRefused`. After `NodeUnavailable`, or a refusal with `maybe_sent`, the transaction may
        be in a pool or in a block: look for its hash, send the same bytes again, and call nothing failed.
        """
        ...

    def endpoint_health(self) -> list[EndpointHealth]:
        """How each endpoint fares, in the order of the settings. Asks nobody, raises nothing."""
        ...

    def request_many(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Several such requests in batches. A node's error to one of them stands in its place, as a `ChainError`."""
        ...
