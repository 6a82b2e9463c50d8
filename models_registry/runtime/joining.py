"""One answer to several callers' inputs, divided so that each gets its own. Nothing the runner says is believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from models_registry.runtime.errors import RunnerProtocolError


class JoinedRefusal(Exception):
    """Some inputs of a joined request were refused; `positions` says which. The runner lives on.

    Their callers are asked about alone, so that each error is about its own inputs, and is true.
    """

    def __init__(self, positions: list[int]) -> None:
        super().__init__(positions)
        self.positions = positions


@dataclass(frozen=True)
class Share:
    """One caller's part: `rows` of the outputs, its usage, the shapes of the batches that its inputs ran in."""

    rows: slice
    usage: dict[str, Any]
    batches: list[list[int]]


def spans(counts: list[int]) -> list[slice]:
    """Where each caller's inputs lie among all of them."""
    return [slice(start, end) for start, end in pairwise([0, *accumulate(counts)])]


def shares(
    reply: Mapping[str, Any], counts: list[int], *, usage: Mapping[str, Any], batches: list[list[int]]
) -> list[Share]:
    """Each caller's share of a `done` message whose `usage` and `batches` were checked. Raises RunnerProtocolError."""
    total = sum(counts)
    tokens = _numbers(reply.get("row_tokens"), count=total, below=2**31)
    places = _numbers(reply.get("row_batches"), count=total, below=len(batches))
    if sum(tokens) != usage["input_tokens"] or usage["output_tokens"] != 0:
        raise _forged()
    if any(places.count(place) != rows for place, (rows, _) in enumerate(batches)):
        raise _forged()
    return [
        Share(
            rows=span,
            usage={
                "input_tokens": sum(tokens[span]),
                "output_tokens": 0,
                "truncated": [at - span.start for at in usage["truncated"] if span.start <= at < span.stop],
            },
            batches=[batches[place] for place in sorted(set(places[span]))],
        )
        for span in spans(counts)
    ]


def refused_positions(reply: Mapping[str, Any], *, count: int) -> list[int]:
    """Which inputs a `failed` message refuses. Raises RunnerProtocolError."""
    positions = reply.get("positions")
    if not isinstance(positions, list) or not 1 <= len(positions) <= count:
        raise _forged()
    if not all(type(position) is int and 0 <= position < count for position in positions):
        raise _forged()
    return positions


def _numbers(values: Any, *, count: int, below: int) -> list[int]:
    if not isinstance(values, list) or len(values) != count:
        raise _forged()
    if not all(type(value) is int and 0 <= value < below for value in values):
        raise _forged()
    return values


def _forged() -> RunnerProtocolError:
    return RunnerProtocolError("The runner's answer was refused: its counts by input cannot be right. It was ended.")
