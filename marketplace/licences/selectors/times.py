"""Times of models. A licence counts on its model's clock: block time less the seconds of the model's suspensions.

Suspensions lapse on the chain without a transaction; here, by the same rule, without a row.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from chain.models import BlockHeader
from chain.prepared import Prepared
from marketplace.licences.models import Suspension, SuspensionConfirmation, SuspensionEnd


@dataclass(frozen=True, slots=True)
class SuspensionSpan:
    """One suspension, in block times. `ends_at` is None while nobody knows: it was confirmed and not ended yet.

    `reason` is the digest of the guardian's document.
    """

    suspended_at: int
    ends_at: int | None
    reason: str
    is_confirmed: bool

    def seconds_until(self, at: int) -> int:
        """How long the model was suspended by it until the block time `at`."""
        end = at if self.ends_at is None else min(self.ends_at, at)
        return max(end - self.suspended_at, 0)


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """The suspensions of a model, oldest first."""

    spans: tuple[SuspensionSpan, ...] = ()

    def clock(self, at: int) -> int:
        """The model's clock at a block time."""
        return at - sum(span.seconds_until(at) for span in self.spans)

    def block_time(self, clock_at: int, *, now: int) -> int:
        """The block time at which the clock reaches `clock_at`, as far as suspensions are known at `now`."""
        at = clock_at
        for span in self.spans:
            if span.suspended_at < at:
                at += span.seconds_until(now)
        return at

    def suspension(self, at: int) -> SuspensionSpan | None:
        """The suspension that holds at a block time."""
        last = self.spans[-1] if self.spans else None
        if last is None or at < last.suspended_at or (last.ends_at is not None and at >= last.ends_at):
            return None
        return last


def model_times(model_ids: Iterable[int]) -> dict[int, ModelTimes]:
    """The suspensions of each of these models, in three queries; every id has an entry."""
    ids = set(model_ids)
    begun: dict[int, list[Suspension]] = defaultdict(list)
    for row in _suspensions.rows(model_ids=ids):
        begun[row.model_id].append(row)
    if not begun:
        return dict.fromkeys(ids, ModelTimes())
    confirmed = dict(SuspensionConfirmation.objects.filter(model_id__in=begun).values_list("event_id", "model_id"))
    ended = list(SuspensionEnd.objects.filter(model_id__in=begun).select_related("event"))
    return {model_id: _times(model_id, begun[model_id], confirmed, ended) for model_id in ids}


def chain_now() -> int:
    """Block time of now, for display: the server's clock, or the newest indexed block's where that is ahead."""
    return max(int(timezone.now().timestamp()), _newest_timestamp.first(chain_id=settings.CHAIN_ID) or 0)


@Prepared
def _suspensions(model_ids: Any) -> QuerySet[Suspension]:
    return Suspension.objects.filter(model_id__in=model_ids).select_related("event").order_by("event")


@Prepared
def _newest_timestamp(chain_id: Any) -> QuerySet[BlockHeader, int]:
    headers = BlockHeader.objects.filter(chain_id=chain_id).order_by("-number")
    return headers.values_list("timestamp", flat=True)[:1]


def _times(model_id: int, begun: list[Suspension], confirmed: dict[int, int], ended: list[SuspensionEnd]) -> ModelTimes:
    """Each suspension with what became of it before the next one: ended, confirmed, or left to lapse."""
    spans = []
    for place, row in enumerate(begun, start=1):
        following = begun[place].event_id if place < len(begun) else None
        is_confirmed = any(
            about == model_id and _between(event_id, row.event_id, following) for event_id, about in confirmed.items()
        )
        ends = [
            int(end.event.block_time.timestamp())
            for end in ended
            if end.model_id == model_id and _between(end.event_id, row.event_id, following)
        ]
        ends_at = ends[0] if ends else None if is_confirmed else row.lapses_at
        spans.append(SuspensionSpan(int(row.event.block_time.timestamp()), ends_at, row.reason, is_confirmed))
    return ModelTimes(tuple(spans))


def _between(event_id: int, first: int, following: int | None) -> bool:
    return first < event_id and (following is None or event_id < following)
