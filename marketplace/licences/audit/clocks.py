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
_Step = models.Suspension | models.SuspensionConfirmation | models.SuspensionEnd


@dataclass
class Clock:
    """A model's suspensions, oldest first, each with its begin and its end, in block time."""

    spans: list[list[int]] = field(default_factory=list)
    # Each row that says what follows from others: what it says, and what they say.
    told: list[tuple["_Step", dict[str, int], dict[str, int]]] = field(default_factory=list)

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
    market, now = licence_market(block.book), block.header.timestamp
    count, lasts_s = block.ask_all([model_registry(block.book).model_count(), market.suspension()])
    for chunk in block.chunks(range(1, count + 1)):
        clocks = clocks_read(block, chunk.low, chunk.high, lasts_s=lasts_s)
        answers = block.ask_all([market.model_clock(model_id) for model_id in chunk.ids])
        for model_id, answer in zip(chunk.ids, answers, strict=True):
            clock = clocks.pop(model_id, Clock())
            subject = f"clock of model {model_id}"
            database = {"clock_at": now - clock.behind(now), "suspended_at": clock.suspended_at(now)}
            chain = {"clock_at": answer.clock_at, "suspended_at": answer.suspended_at}
            yield from block.compare(models.Suspension, subject, database=database, chain=chain)
            for row, says, follows in clock.told:
                yield from block.compare(type(row), f"{row}", database=says, chain=follows)
        for model_id in clocks:
            yield block.surplus(models.Suspension, f"suspension of model {model_id}", "no such model")


def clocks_read(block: AuditBlock, low: int, high: int, *, lasts_s: int = 0) -> dict[int, Clock]:
    """The clocks of the models with these ids that were ever suspended, confirmed or resumed.

    `lasts_s` is how long a suspension lasts that is not confirmed.
    """
    within = {"model_id__range": (low, high)}
    rows: list[_Step] = [*block.rows_of(models.Suspension).filter(**within).select_related("event")]
    rows += block.rows_of(models.SuspensionConfirmation).filter(**within).select_related("event")
    rows += block.rows_of(models.SuspensionEnd).filter(**within).select_related("event")
    clocks: dict[int, Clock] = defaultdict(Clock)
    for row in sorted(rows, key=lambda row: row.event_id):
        _step(clocks[row.model_id], row, lasts_s)
    return dict(clocks)


def _step(clock: Clock, row: _Step, lasts_s: int) -> None:
    at = int(row.event.block_time.timestamp())
    if isinstance(row, models.Suspension):
        clock.spans.append([at, row.lapses_at])
        clock.told.append((row, {"lapses_at": row.lapses_at}, {"lapses_at": at + lasts_s}))
    elif clock.spans:
        clock.spans[-1][1] = _NEVER if isinstance(row, models.SuspensionConfirmation) else at
    if isinstance(row, models.SuspensionEnd):
        clock.told.append((row, {"suspended_s": row.suspended_s}, {"suspended_s": clock.behind(at)}))
