"""Why something is gone: the sentence and the facts about an event that a re-org removed."""

from dataclasses import dataclass

from chain.models import RemovedEvent
from chain.selectors import event_list, removed_events


@dataclass(frozen=True, slots=True)
class Removal:
    """An event that is gone. `mined_again` is the block in which its transaction stands now, with another outcome."""

    event: RemovedEvent
    mined_again: int | None

    def text(self, what: str) -> str:
        """`what` names the event's effect, such as `purchase`."""
        removed_at = f"{self.event.removed_at:%-d %b %Y, %H:%M:%S} UTC"
        lead = f"A re-organisation of the chain removed this {what} on {removed_at}"
        was = f"it was in transaction {self.event.tx_hash}, block {self.event.block_number}"
        if self.mined_again is not None:
            return f"{lead}; {was}. That transaction is in block {self.mined_again} now, with another outcome."
        return f"{lead}; {was}. If the transaction is mined again, it returns by itself."

    @property
    def data(self) -> dict[str, str | int]:
        """For the extension members of a problem."""
        return {
            "tx_hash": self.event.tx_hash,
            "block_number": self.event.block_number,
            "removed_at": self.event.removed_at.isoformat(),
        }


def removal_of_licence(licence_id: int) -> Removal | None:
    """How the purchase of a licence was removed; None where none that is remembered was."""
    return removal_of(removed_events(name="LicenceBought", licence_id=licence_id).first())


def removal_of_plan(plan_id: int) -> Removal | None:
    return removal_of(removed_events(name="PlanAdded", plan_id=plan_id).first())


def removal_of_model(model_id: int) -> Removal | None:
    return removal_of(removed_events(name="ModelPublished", model_id=model_id).first())


def removal_of_purchase(*, model_id: int, holder: str) -> Removal | None:
    """The newest purchase of a licence of the model for this holder that was removed."""
    return removal_of(removed_events(name="LicenceBought", model_id=model_id).filter(args__holder=holder).first())


def removals_of_purchases(holder: str, *, limit: int) -> list[Removal]:
    """The newest purchases for this holder that were removed. Reads all that is remembered, which is little."""
    rows = removed_events(name="LicenceBought").filter(args__holder=holder)[:limit]
    return [removal for row in rows if (removal := removal_of(row)) is not None]


def removal_of(event: RemovedEvent | None) -> Removal | None:
    if event is None:
        return None
    again = event_list(tx_hash=event.tx_hash).first()
    return Removal(event, again.block_number if again is not None else None)
