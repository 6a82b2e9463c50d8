"""The logs of a range, asked of the node by the audit itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chain.abi import INDEXED_CONTRACTS
from chain.audit.block import AuditBlock
from chain.gateway.errors import NodeBehind, NodeUnavailable, RangeTooLarge
from chain.gateway.parse import log_parse
from chain.gateway.protocol import Header, RawLog

SPAN_BLOCKS = 10_000


@dataclass
class LogReader:
    """Asks for logs; where the node finds that too much, for fewer blocks at a time from then on."""

    block: AuditBlock
    span: int = SPAN_BLOCKS
    contracts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        book = self.block.book.contracts
        self.contracts = {book[name].address.lower(): name for name in INDEXED_CONTRACTS if name in book}

    def read(self, first: int, last: int) -> list[RawLog]:
        """The logs from block `first` to block `last`, both included, in chain order. Raises the gateway's errors."""
        found: list[RawLog] = []
        while first <= last:
            end = min(first + self.span - 1, last)
            try:
                found += self._part(first, end)
            except RangeTooLarge:
                if end == first:
                    raise
                self.span = max((end - first + 1) // 2, 1)
                continue
            first = end + 1
        return found

    def headers(self, numbers: Iterable[int]) -> dict[int, Header]:
        """The canonical headers at these heights. Raises `NodeBehind` where the node lacks one."""
        wanted = sorted(set(numbers))
        headers = self.block.gateway.headers(wanted) if wanted else []
        pairs = zip(wanted, headers, strict=True)
        found: dict[int, Header] = {number: header for number, header in pairs if header is not None}
        if len(found) < len(wanted):
            raise NodeBehind(f"The node lacks a block below {self.block.header.number}, at which it is asked.")
        return found

    def absence_confirm(self, number: int) -> list[RawLog]:
        """The logs of one block, from a node that has it: one that lags leaves logs out of a range without a word."""
        header = self.headers([number])[number]
        return self.block.gateway.logs_by_hash(list(self.contracts), block_hashes=[header.hash])[0]

    def _part(self, first: int, last: int) -> list[RawLog]:
        criteria = {"address": list(self.contracts), "fromBlock": hex(first), "toBlock": hex(last)}
        answer = self.block.gateway.request("eth_getLogs", [criteria])
        if not isinstance(answer, list) or any(isinstance(item, dict) and item.get("removed") for item in answer):
            raise NodeUnavailable("The node answered something that is not a list of logs of its chain.")
        logs = sorted(map(log_parse, answer), key=lambda log: (log.block_number, log.log_index))
        places = {(log.block_number, log.log_index) for log in logs}
        foreign = [log for log in logs if log.address not in self.contracts or not first <= log.block_number <= last]
        if foreign or len(places) < len(logs):
            raise NodeUnavailable("The node answered logs that were not asked for, or one of them twice.")
        return logs
