"""Several endpoints of one chain: which is asked, and what happens when it fails."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from chain.gateway.endpoint import Call, Endpoint, chain_id_check, value
from chain.gateway.errors import (
    ChainError,
    NodeBehind,
    NodeUnavailable,
    NonceTooHigh,
    RateLimited,
    SendRefused,
    WrongChain,
)
from chain.gateway.health import HealthBook
from chain.gateway.parse import header_parse, number_parse
from chain.gateway.protocol import EndpointHealth, Header

logger = logging.getLogger(__name__)

LATEST: Call = ("eth_getBlockByNumber", ["latest", False])
SEND = "eth_sendRawTransaction"
# What a second endpoint may be asked after the first was: it reads, or (signed bytes) a chain takes it once.
ASKED_AGAIN = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_createAccessList",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getBlockReceipts",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        SEND,
    }
)
Elsewhere = NodeUnavailable | RateLimited | NodeBehind | WrongChain | NonceTooHigh
_ELSEWHERE = (NodeUnavailable, RateLimited, NodeBehind, WrongChain, NonceTooHigh)
_TELLING = (RateLimited, NodeBehind, NonceTooHigh, WrongChain, NodeUnavailable)
T = TypeVar("T")


class EndpointPool:
    """The endpoints of one chain. A batch goes to one of them as a whole, by these rules:

    1. `chain.gateway.health` gives the order: healthy endpoints as the settings name them, for the newest state those
       that lag after the others, then those that failed and are due again. Each is asked once in a call at most.
    2. An endpoint tells its chain id before its first call and after each failure.
    3. The next endpoint is asked after `NodeUnavailable` (no answer, or one that is malformed in any part),
       `RateLimited`, `WrongChain`, `NodeBehind` and `NonceTooHigh`. The first three count as failures of the endpoint.
       If none is left, the most telling error is raised: `RateLimited`, else what a node said of itself (`NodeBehind`,
       `NonceTooHigh`), else `WrongChain`, else `NodeUnavailable`.
    4. Every other error (`RangeTooLarge`, `Reverted`, `RpcError`, a refused transaction) is an answer, raised at once.
    5. A signed transaction may be sent to the next endpoint too: the bytes are the same, and a chain takes them once.
       A refusal after another endpoint did not answer has `maybe_sent`.
    6. A method that is not in `ASKED_AGAIN` is sent once; its error is raised.

    Waiting and trying again is the caller's. An endpoint that failed, or that nobody asked for a while, is probed in a
    thread of its own, so that no caller waits for one that hangs.
    """

    def __init__(self, urls: Sequence[str], *, chain_id: int, timeout_s: float, health: HealthBook | None) -> None:
        if not urls:
            raise ValueError("A gateway needs at least one endpoint.")
        self._chain_id = chain_id
        self._endpoints = [Endpoint(url, name=f"endpoint {n}", timeout_s=timeout_s) for n, url in enumerate(urls, 1)]
        self._health = health or HealthBook(len(urls))
        self._prober: tuple[int, threading.Thread] | None = None

    def __len__(self) -> int:
        return len(self._endpoints)

    def ask(self, calls: Sequence[Call], read: Callable[[list[Any]], T], *, newest: bool) -> T:
        """What `read` makes of one endpoint's answers: a result or a named error for each call, in order.

        `read` raises `NodeUnavailable` for what is malformed, so that another endpoint is asked.
        """
        order = self._health.order(newest=newest)
        self._probe_start(asked=order[0])
        again = all(method in ASKED_AGAIN for method, _ in calls)
        failures: list[Elsewhere] = []
        for place in order:
            sent = False
            try:
                self._endpoints[place].chain_check(self._chain_id)
                sent = True
                return self._asked(place, calls, read)
            except _ELSEWHERE as error:
                self._failed(place, error)
                failures.append(error)
                if sent and not again:
                    break
            except ChainError as error:
                self._health.answered(place)
                if isinstance(error, SendRefused):
                    error.maybe_sent = any(isinstance(failure, NodeUnavailable) for failure in failures)
                raise
        raise min(failures, key=lambda error: next(n for n, kind in enumerate(_TELLING) if isinstance(error, kind)))

    def report(self) -> list[EndpointHealth]:
        return self._health.report()

    def _asked(self, place: int, calls: Sequence[Call], read: Callable[[list[Any]], T]) -> T:
        answers = self._endpoints[place].post(calls)
        result = read(answers)
        self._health.answered(place, head=_head_of(calls, answers))
        return result

    def _failed(self, place: int, error: Elsewhere) -> None:
        if isinstance(error, NodeBehind | NonceTooHigh):
            self._health.answered(place)
            return
        if isinstance(error, WrongChain):
            self._endpoints[place].chain_forget()
        self._health.failed(place, error)

    def _probe_start(self, *, asked: int) -> None:
        running = self._prober is not None and self._prober[0] == os.getpid() and self._prober[1].is_alive()
        place = None if running else self._health.probe_due(asked=asked)
        if place is None:
            return
        thread = threading.Thread(target=self._probe, args=(place,), name="gateway-probe", daemon=True)
        self._prober = (os.getpid(), thread)
        try:
            thread.start()
        except RuntimeError:
            # No thread is to be had. The next call tries again.
            self._prober = None

    def _probe(self, place: int) -> None:
        def read(answers: list[Any]) -> Header:
            chain_id_check(number_parse(value(answers[0])), expected=self._chain_id)
            return header_parse(value(answers[1]))

        try:
            self._asked(place, [("eth_chainId", []), LATEST], read)
        except _ELSEWHERE as error:
            self._failed(place, error)
            logger.debug("Endpoint %d is not well: %s", place + 1, error.code)
        except ChainError as error:
            # It answers, but not to what every node answers.
            self._health.failed(place, error)


def _head_of(calls: Sequence[Call], answers: Sequence[Any]) -> Header | None:
    """The newest block, if one of the calls asked for it and the answer is one."""
    for (method, params), answer in zip(calls, answers, strict=True):
        if method == LATEST[0] and params[:1] == ["latest"] and isinstance(answer, dict):
            try:
                return header_parse(answer)
            except NodeUnavailable:
                return None
    return None
