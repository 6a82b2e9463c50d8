"""Raw JSON-RPC over HTTP.

web3.py's objects cost thirteen times as much per log, so that the hot paths parse the answers here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from eth_utils.crypto import keccak

from chain.gateway.endpoint import Call, chain_id_check, value
from chain.gateway.errors import AlreadyKnown, NodeBehind, NodeUnavailable, RateLimited, Reverted, RpcError
from chain.gateway.health import HealthBook
from chain.gateway.parse import bytes_parse, logs_parse, number_parse, receipt_parse, sealed_header_parse
from chain.gateway.pool import LATEST, EndpointPool
from chain.gateway.protocol import EndpointHealth, Heads, Poll, RawLog, Receipt, SealedHeader, Topics

# Even, so that a block's logs and its header stay in one batch.
BATCH_SIZE = 40
# Where a chain knows no `finalized` tag, this many blocks stand in for it.
FINALITY_BLOCKS = 64
_HEADS: list[Call] = [("eth_chainId", []), LATEST, ("eth_getBlockByNumber", ["finalized", False])]
T = TypeVar("T")


class JsonRpcGateway:
    """`ChainGateway` over one or more HTTP endpoints of the same chain.

    Which endpoint is asked, and what is tried again, are the rules of `chain.gateway.pool.EndpointPool`. Answers are
    parsed before an endpoint counts as having answered.
    """

    def __init__(
        self, urls: Sequence[str], *, chain_id: int, timeout_s: float = 10.0, health: HealthBook | None = None
    ) -> None:
        self.chain_id = chain_id
        self._pool = EndpointPool(urls, chain_id=chain_id, timeout_s=timeout_s, health=health)

    def __repr__(self) -> str:
        return f"<JsonRpcGateway chain {self.chain_id}, {len(self._pool)} endpoints>"

    def heads(self) -> Heads:
        return self._pool.ask(_HEADS, self._heads_read, newest=True)

    def poll(self, next_block: int | None) -> Poll:
        asked = [] if next_block is None else [_by_number(next_block)]

        def read(answers: list[Any]) -> Poll:
            heads = self._heads_read(answers[:3])
            following = None if next_block is None else _header_read(answers[3], next_block)
            if following is not None and following.number > heads.latest.number:
                # It arrived between two calls of the batch.
                heads = Heads(following, heads.finalized_number)
            return Poll(heads, following)

        return self._pool.ask([*_HEADS, *asked], read, newest=True)

    def header_at(self, block_hash: str | None) -> SealedHeader:
        if block_hash is None:
            return self._pool.ask([LATEST], lambda answers: sealed_header_parse(value(answers[0])), newest=True)
        call: Call = ("eth_getBlockByHash", [block_hash, False])
        return self._pool.ask([call], lambda answers: _header_with(block_hash, value(answers[0])), newest=False)

    def headers(self, numbers: Sequence[int]) -> list[SealedHeader | None]:
        found: list[SealedHeader | None] = []
        for part in _parts(numbers, BATCH_SIZE):

            def read(answers: list[Any], part: Sequence[int] = part) -> list[SealedHeader | None]:
                return [_header_read(answer, number) for answer, number in zip(answers, part, strict=True)]

            found += self._pool.ask([_by_number(number) for number in part], read, newest=True)
        return found

    def logs_in_range(self, addresses: Sequence[str], *, first: int, last: int, topics: Topics = ()) -> list[RawLog]:
        # A node that lags answers a range beyond its head with fewer logs and no error. The same node is asked for the
        # last block in the same batch.
        criteria: dict[str, Any] = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
        if topics:
            criteria["topics"] = list(topics)

        def read(answers: list[Any]) -> list[RawLog]:
            found, block = (value(answer) for answer in answers)
            if block is None:
                raise NodeBehind(f"The node does not have block {last} yet.")
            return _in_order(logs_parse(found, addresses), first=first, last=last)

        return self._pool.ask([("eth_getLogs", [criteria]), _by_number(last)], read, newest=False)

    def logs_by_hash(self, addresses: Sequence[str], *, block_hashes: Sequence[str]) -> list[list[RawLog]]:
        # The block is asked for beside its logs: some nodes answer an unknown hash with an empty list.
        logs: list[list[RawLog]] = []
        for part in _parts(block_hashes, BATCH_SIZE // 2):
            calls: list[Call] = []
            for block_hash in part:
                calls.append(("eth_getLogs", [{"address": list(addresses), "blockHash": block_hash}]))
                calls.append(("eth_getBlockByHash", [block_hash, False]))

            def read(answers: list[Any], part: Sequence[str] = part) -> list[list[RawLog]]:
                pairs = zip(part, answers[::2], answers[1::2], strict=True)
                return [_logs_of(block_hash, found, block, addresses) for block_hash, found, block in pairs]

            logs += self._pool.ask(calls, read, newest=False)
        return logs

    def call(self, to: str, data: str, *, block_hash: str | None = None, sender: str | None = None) -> bytes:
        transaction = {"to": to, "data": data} | ({"from": sender} if sender else {})
        asked = [_call(transaction, block_hash)]
        return self._pool.ask(asked, lambda answers: bytes_parse(value(answers[0])), newest=block_hash is None)

    def call_many(self, calls: Sequence[tuple[str, str]], block_hash: str | None = None) -> list[bytes | Reverted]:
        def read(answers: list[Any]) -> list[bytes | Reverted]:
            return [answer if isinstance(answer, Reverted) else bytes_parse(value(answer)) for answer in answers]

        found: list[bytes | Reverted] = []
        for part in _parts(calls, BATCH_SIZE):
            asked = [_call({"to": to, "data": data}, block_hash) for to, data in part]
            found += self._pool.ask(asked, read, newest=block_hash is None)
        return found

    def code(self, address: str) -> bytes:
        call: Call = ("eth_getCode", [address, "latest"])
        return self._pool.ask([call], lambda answers: bytes_parse(value(answers[0])), newest=True)

    def receipt(self, tx_hash: str) -> Receipt | None:
        def read(answers: list[Any]) -> Receipt | None:
            answer = value(answers[0])
            return None if answer is None else receipt_parse(answer)

        return self._pool.ask([("eth_getTransactionReceipt", [tx_hash])], read, newest=True)

    def request_many(self, calls: Sequence[Call]) -> list[Any]:
        def read(answers: list[Any]) -> list[Any]:
            for answer in answers:
                if isinstance(answer, RateLimited):
                    raise answer
            return answers

        return [answer for part in _parts(calls, BATCH_SIZE) for answer in self._pool.ask(part, read, newest=True)]

    def request(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return self._pool.ask([(method, params)], lambda answers: value(answers[0]), newest=True)
        except AlreadyKnown:
            return "0x" + keccak(hexstr=params[0]).hex()

    def endpoint_health(self) -> list[EndpointHealth]:
        return self._pool.report()

    def _heads_read(self, answers: list[Any]) -> Heads:
        chain_id, latest, finalized = answers
        chain_id_check(number_parse(value(chain_id)), expected=self.chain_id)
        head = sealed_header_parse(value(latest))
        if isinstance(finalized, RpcError | NodeBehind) or finalized is None:
            # A node that knows no such tag. One that failed this once is not second-guessed.
            return Heads(head, max(head.number - FINALITY_BLOCKS, 0))
        return Heads(head, min(sealed_header_parse(value(finalized)).number, head.number))


def _in_order(logs: list[RawLog], *, first: int, last: int) -> list[RawLog]:
    """The logs in the order of the chain. Raises `NodeUnavailable` for one that was not asked for, or comes twice."""
    places = {(log.block_number, log.log_index) for log in logs}
    if len(places) < len(logs) or any(not first <= number <= last for number, _ in places):
        raise NodeUnavailable(f"The node answered other logs than those of blocks {first} to {last}.")
    return sorted(logs, key=lambda log: (log.block_number, log.log_index))


def _header_read(answer: Any, number: int) -> SealedHeader | None:
    """The header at the height `number`; `None` where the node has none."""
    # Some nodes answer an error instead of null for a height that they do not have.
    if answer is None or isinstance(answer, NodeBehind):
        return None
    header = sealed_header_parse(value(answer))
    if header.number != number:
        raise NodeUnavailable(f"The node answered block {header.number} instead of block {number}.")
    return header


def _header_with(block_hash: str, block: Any) -> SealedHeader:
    if block is None:
        raise NodeBehind(f"The node does not have block {block_hash}.")
    header = sealed_header_parse(block)
    if header.hash != block_hash.lower():
        raise NodeUnavailable(f"The node answered another block than {block_hash}.")
    return header


def _logs_of(block_hash: str, found: Any, block: Any, addresses: Sequence[str]) -> list[RawLog]:
    found = value(found)
    if value(block) is None:
        raise NodeBehind(f"The node does not have block {block_hash}.")
    logs = logs_parse(found, addresses)
    if any(log.block_hash != block_hash for log in logs):
        raise NodeUnavailable(f"The node answered logs of another block than {block_hash}.")
    return sorted(logs, key=lambda log: log.log_index)


def _by_number(number: int) -> Call:
    return "eth_getBlockByNumber", [hex(number), False]


def _call(transaction: dict[str, str], block_hash: str | None) -> Call:
    # EIP-1898: a block that left the canonical chain is an error, not an old answer.
    block: Any = {"blockHash": block_hash, "requireCanonical": True} if block_hash else "latest"
    return "eth_call", [transaction, block]


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
