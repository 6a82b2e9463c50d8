"""Suspensions: the clock of each model, worked out from its rows, against the market's."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from chain.audit.block import AuditBlock
from chain.audit.registry import register
from chain.audit.report import Difference
from chain.bindings import licence_market, model_registry
from marketplace.licences import models

# One that was confirmed lasts until it is ended: the end of the contract's 32-bit seconds.
_NEVER = 2**32 - 1


@dataclass
class Clock:
    """A model's suspensions, oldest first, each with its begin and its end, in block time."""

    spans: list[list[int]] = field(default_factory=list)

    def behind(self, at: int) -> int:
        """For how many seconds the model was suspended before the block time `at`."""
        return sum(max(0, min(end, at) - begin) for begin, end in self.spans)

    def suspended_at(self, at: int) -> int:
        """Since when it is suspended at that time; 0 where it is not."""
        begin, end = self.spans[-1] if self.spans else (0, 0)
        return begin if begin <= at < end else 0


@register("clocks of models")
def clocks_audit(block: AuditBlock) -> Iterator[Difference]:
    """`modelClock` of every model, at the block's own time."""
    (count,) = block.ask_all([model_registry(block.book).model_count()])
    market, now = licence_market(block.book), block.header.timestamp
    for chunk in block.chunks(range(1, count + 1)):
        clocks = clocks_read(block, chunk.low, chunk.high)
        answers = block.ask_all([market.model_clock(model_id) for model_id in chunk.ids])
        for model_id, answer in zip(chunk.ids, answers, strict=True):
            clock = clocks.pop(model_id, Clock())
            yield from block.compare(
                models.Suspension,
                f"clock of model {model_id}",
                database={"clock_at": now - clock.behind(now), "suspended_at": clock.suspended_at(now)},
                chain={"clock_at": answer.clock_at, "suspended_at": answer.suspended_at},
            )
        for model_id in clocks:
            yield block.surplus(models.Suspension, f"suspension of model {model_id}", "no such model")


def clocks_read(block: AuditBlock, low: int, high: int) -> dict[int, Clock]:
    """The clocks of the models with these ids that were ever suspended, confirmed or resumed."""
    within = {"model_id__range": (low, high)}
    clocks: dict[int, Clock] = defaultdict(Clock)
    # In the order of the chain: event, model, begin of a suspension or None, end as it is known from then on.
    steps: list[tuple[int, int, int | None, int]] = []
    for begun in block.rows_of(models.Suspension).filter(**within).select_related("event"):
        steps.append((begun.event_id, begun.model_id, _at(begun), begun.lapses_at))
    for confirmed in block.rows_of(models.SuspensionConfirmation).filter(**within):
        steps.append((confirmed.event_id, confirmed.model_id, None, _NEVER))
    for ended in block.rows_of(models.SuspensionEnd).filter(**within).select_related("event"):
        steps.append((ended.event_id, ended.model_id, None, _at(ended)))
    for _, model_id, begin, end in sorted(steps, key=lambda step: step[0]):
        spans = clocks[model_id].spans
        if begin is not None:
            spans.append([begin, end])
        elif spans:
            spans[-1][1] = end
    return dict(clocks)


def _at(row: models.FromEvent) -> int:
    return int(row.event.block_time.timestamp())
