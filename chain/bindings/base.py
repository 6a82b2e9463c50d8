"""What all bindings share: a contract at an address, what is asked of it, and how answers become objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from chain import abi
from chain.errors import EncodingError
from chain.gateway import get_gateway
from chain.gateway.errors import NodeUnavailable, Reverted
from chain.gateway.protocol import ChainGateway
from chain.transactions import TransactionRequest, call_data

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """A question that a contract answers without a transaction. `make` makes an object of the decoded values."""

    contract: str
    function: str
    to: str
    data: str
    make: Callable[..., T]

    def read(self, *, block_hash: str | None = None, gateway: ChainGateway | None = None) -> T:
        """Ask at a block, the newest without one. Raises `Reverted` and the gateway's errors."""
        answer = (gateway or get_gateway()).call(self.to, self.data, block_hash=block_hash)
        return self.decode(answer)

    def decode(self, answer: bytes) -> T:
        """Raises `NodeUnavailable` where the bytes are not what the interface promises."""
        try:
            return self.make(*abi.result_decode(self.contract, self.function, answer))
        except (EncodingError, TypeError, ValueError) as error:
            message = (
                f"{self.contract}.{self.function} answered {len(answer)} bytes that its interface does not describe."
                " The node is broken, or the contract is another one."
            )
            raise NodeUnavailable(message) from error


def views_read(
    views: Sequence[View[T]], *, block_hash: str | None = None, gateway: ChainGateway | None = None
) -> list[T | Reverted]:
    """Ask many questions in one batch. A refusal stands in the place of its answer. Raises the gateway's errors."""
    if not views:
        return []
    answers = (gateway or get_gateway()).call_many([(view.to, view.data) for view in views], block_hash)
    return [
        answer if isinstance(answer, Reverted) else view.decode(answer)
        for view, answer in zip(views, answers, strict=True)
    ]


def views_require(
    views: Sequence[View[T]], *, block_hash: str | None = None, gateway: ChainGateway | None = None
) -> list[T]:
    """`views_read` of questions that have an answer. Raises the first `Reverted`."""
    answers: list[T] = []
    for answer in views_read(views, block_hash=block_hash, gateway=gateway):
        if isinstance(answer, Reverted):
            raise answer
        answers.append(answer)
    return answers


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract at an address of a chain. Building a request or a view asks nobody."""

    address: str
    chain_id: int
    artefact: ClassVar[str]

    def _send(self, function: str, *args: Any, value_wei: int = 0) -> TransactionRequest:
        return call_data(self.artefact, function, args, value=value_wei, to=self.address, chain_id=self.chain_id)

    def _view(self, function: str, *args: Any, make: Callable[..., T]) -> View[T]:
        return View(self.artefact, function, self.address, abi.call_encode(self.artefact, function, args), make)


def struct_of(kind: type[T]) -> Callable[[dict[str, Any]], T]:
    """A struct, decoded to a dict in the order of its declaration, as an object of `kind`."""

    def make(row: dict[str, Any]) -> T:
        return kind(*row.values())

    return make


def structs_of(kind: type[T]) -> Callable[[list[dict[str, Any]]], tuple[T, ...]]:
    """An array of structs."""

    def make(rows: list[dict[str, Any]]) -> tuple[T, ...]:
        return tuple(kind(*row.values()) for row in rows)

    return make
