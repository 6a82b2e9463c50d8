"""A chain in memory, for tests that need a chain but not a node.

It keeps what a node must keep: blocks linked by hashes, logs by block, re-orgs, a head that is final some blocks later.
It runs no code: what a contract's view answers is set by the test. The chain layer's own tests use a real node.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from eth_utils.crypto import keccak

from chain import abi
from chain.gateway.errors import ChainError, NodeBehind, Reverted, RevertedUnread, RpcError
from chain.gateway.protocol import EndpointHealth, Heads, Poll, RawLog, Receipt, SealedHeader, Topics
from chain.gateway.seal import bloom_bits

BLOCK_TIME_S = 12
Answer = Callable[..., Sequence[Any]]


@dataclass(frozen=True, slots=True)
class FakeLog:
    """A log before it is in a block."""

    address: str
    topics: tuple[str, ...]
    data: str


def log_of(contract: str, event: str, *, address: str, args: Mapping[str, Any]) -> FakeLog:
    """The log that `contract` at `address` would write for `event`."""
    topic = abi.event_topic(contract, event)
    kind = abi.artefact(contract).events[topic]
    topics = [topic, *("0x" + abi.arguments_encode([item], [args[item["name"]]]).hex() for item in kind.indexed)]
    data = abi.arguments_encode(list(kind.plain), [args[item["name"]] for item in kind.plain])
    return FakeLog(address.lower(), tuple(topics), "0x" + data.hex())


@dataclass
class FakeGateway:
    """`ChainGateway` in memory. Not thread-safe."""

    chain_id: int = 31337
    finality_blocks: int = 64
    start_time: int = 1_700_000_000
    # Set it, and every method but `endpoint_health` raises it.
    failure: ChainError | None = None
    # Whether headers carry the bloom filter of their logs, as those of most nodes do.
    blooms: bool = False
    _blocks: list[SealedHeader] = field(default_factory=list)
    _logs: dict[str, list[RawLog]] = field(default_factory=dict)
    _answers: dict[tuple[str, str, str], Answer] = field(default_factory=dict)
    _codes: dict[str, bytes] = field(default_factory=dict)
    _branch: int = 0

    def __post_init__(self) -> None:
        self.mine()

    def mine(self, *logs: FakeLog) -> SealedHeader:
        """Add one block that holds `logs`, each in a transaction of its own."""
        number = len(self._blocks)
        parent = self._blocks[-1].hash if self._blocks else "0x" + "00" * 32
        block_hash = _hash(f"{self.chain_id}/{self._branch}/{parent}/{logs}")
        bloom = _bloom(logs) if self.blooms else None
        header = SealedHeader(number, block_hash, parent, self.start_time + BLOCK_TIME_S * number, bloom)
        self._blocks.append(header)
        self._logs[block_hash] = [
            RawLog(log.address, log.topics, log.data, number, block_hash, _hash(f"{block_hash}/{n}"), n, n)
            for n, log in enumerate(logs)
        ]
        return header

    def rollback(self, depth: int) -> None:
        """Drop the newest `depth` blocks; what is mined next is another branch."""
        if not 0 < depth < len(self._blocks):
            raise ValueError(f"Cannot drop {depth} of {len(self._blocks)} blocks.")
        del self._blocks[-depth:]
        self._branch += 1

    def answer_set(self, contract: str, function: str, *, address: str, answer: Answer) -> None:
        """Let `function` of the contract at `address` answer with the values that `answer(*args)` returns."""
        self._answers[address.lower(), contract, function] = answer

    def code_set(self, address: str, code: bytes) -> None:
        self._codes[address.lower()] = code

    def heads(self) -> Heads:
        self._fail()
        return Heads(self._blocks[-1], max(self._blocks[-1].number - self.finality_blocks, 0))

    def poll(self, next_block: int | None) -> Poll:
        following = None if next_block is None else self.headers([next_block])[0]
        return Poll(self.heads(), following)

    def header_at(self, block_hash: str | None) -> SealedHeader:
        self._fail()
        for header in reversed(self._blocks):
            if block_hash in {None, header.hash}:
                return header
        raise NodeBehind(f"The chain has no block {block_hash}.")

    def headers(self, numbers: Sequence[int]) -> list[SealedHeader | None]:
        self._fail()
        return [self._blocks[number] if 0 <= number < len(self._blocks) else None for number in numbers]

    def logs_in_range(self, addresses: Sequence[str], *, first: int, last: int, topics: Topics = ()) -> list[RawLog]:
        self._fail()
        if last >= len(self._blocks):
            raise NodeBehind(f"The chain has no block {last}.")
        logs = [log for header in self._blocks[first : last + 1] for log in self._of(header.hash, addresses)]
        return [log for log in logs if _matches(log, topics)]

    def logs_by_hash(self, addresses: Sequence[str], *, block_hashes: Sequence[str]) -> list[list[RawLog]]:
        self._fail()
        for block_hash in block_hashes:
            self.header_at(block_hash)
        return [self._of(block_hash, addresses) for block_hash in block_hashes]

    def call(self, to: str, data: str, *, block_hash: str | None = None, sender: str | None = None) -> bytes:
        del sender
        self.header_at(block_hash)
        for (address, contract, function), answer in self._answers.items():
            item = abi.artefact(contract).functions[function]
            selector = abi.selector(item)
            if address == to.lower() and data.startswith(selector):
                args = abi.values_decode(item["inputs"], bytes.fromhex(data[10:]))
                return abi.arguments_encode(item["outputs"], list(answer(*args)))
        raise RevertedUnread(bytes.fromhex(data[2:10]))

    def call_many(self, calls: Sequence[tuple[str, str]], block_hash: str | None = None) -> list[bytes | Reverted]:
        answers: list[bytes | Reverted] = []
        for to, data in calls:
            try:
                answers.append(self.call(to, data, block_hash=block_hash))
            except Reverted as refusal:
                answers.append(refusal)
        return answers

    def code(self, address: str) -> bytes:
        self._fail()
        return self._codes.get(address.lower(), b"")

    def receipt(self, tx_hash: str) -> Receipt | None:
        self._fail()
        for header in self._blocks:
            for log in self._logs[header.hash]:
                if log.tx_hash == tx_hash:
                    zero = abi.checksum("0x" + "00" * 20)
                    return Receipt(tx_hash, header.number, header.hash, True, zero, 21_000, None)
        return None

    def request(self, method: str, params: Sequence[Any]) -> Any:
        self._fail()
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_blockNumber":
            return hex(self._blocks[-1].number)
        raise RpcError(f"The chain in memory does not know {method} with {len(params)} parameters.", rpc_code=-32601)

    def endpoint_health(self) -> list[EndpointHealth]:
        head, answered_at = self._blocks[-1].number, datetime.now(UTC)
        if self.failure is None:
            return [EndpointHealth("endpoint 1", "healthy", head, 0, 0, "", answered_at)]
        return [EndpointHealth("endpoint 1", "failing", head, 0, 1, self.failure.code, answered_at)]

    def request_many(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        answers: list[Any] = []
        for method, params in calls:
            try:
                answers.append(self.request(method, params))
            except RpcError as error:
                answers.append(error)
        return answers

    def _of(self, block_hash: str, addresses: Sequence[str]) -> list[RawLog]:
        wanted = {address.lower() for address in addresses}
        return [log for log in self._logs[block_hash] if log.address in wanted]

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def _bloom(logs: Sequence[FakeLog]) -> int:
    bloom = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bloom |= bloom_bits(item)
    return bloom


def _matches(log: RawLog, topics: Topics) -> bool:
    if len(topics) > len(log.topics):
        return False
    allowed = [[topic] if isinstance(topic, str) else topic for topic in topics]
    return all(wanted is None or topic in wanted for wanted, topic in zip(allowed, log.topics, strict=False))


def _hash(text: str) -> str:
    return "0x" + keccak(text=text).hex()
