"""A model's income in one token as its owner's page draws it, with the calls that move it on."""

from dataclasses import dataclass

from marketplace.licences.selectors import IncomeView, PlanIncome
from marketplace.storefront.calls import WalletCall, collect_call, split_call, withdraw_call
from marketplace.storefront.drawing import Segment, bar

# `LicenceMarket.BATCH`, and how many batches have a button of their own at once.
BATCH = 50
BATCHES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class IncomePicture:
    """Figures, a bar of where the money sits, and what can be signed. `uncollected` licences have no button yet."""

    view: IncomeView
    segments: list[Segment]
    collects: list[WalletCall]
    uncollected: int
    splits: list[tuple[PlanIncome, WalletCall]]
    withdraw: WalletCall | None

    @property
    def is_empty(self) -> bool:
        """Whether the model has nothing in this token, and never had."""
        return not self.segments


def income_picture(view: IncomeView, *, owner: str) -> IncomePicture:
    ids = [licence_id for plan in view.plans for batch in plan.collectable for licence_id in batch]
    batches = [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]
    shown = batches[:BATCHES_SHOWN]
    text = view.available_text
    return IncomePicture(
        view=view,
        segments=bar(
            [
                ("held", view.held),
                ("vested", view.vested),
                ("unsplit", view.unsplit),
                ("available", view.available),
                ("withdrawn", view.withdrawn),
            ]
        ),
        collects=[collect_call(batch, label=_collect_label(batch)) for batch in shown],
        uncollected=len(ids) - sum(map(len, shown)),
        splits=[(plan, _split(plan)) for plan in view.plans if plan.is_split_due],
        withdraw=withdraw_call(view.model_id, view.token, to=owner, text=text) if view.available else None,
    )


def _collect_label(batch: list[int]) -> str:
    return f"Collect from {len(batch)} licence" + ("s" if len(batch) > 1 else "")


def _split(plan: PlanIncome) -> WalletCall:
    return split_call(plan.view.plan, label=f"Split {plan.unsplit_text} of plan {plan.view.plan.number}")
