"""One licence in full: what the chain says about its money now, and what would come back later."""

from dataclasses import dataclass
from datetime import datetime

from chain import entitlements
from chain import selectors as chain
from chain.finality import Finality, finality_of
from chain.gateway.protocol import Header
from chain.selectors import LicenceState
from marketplace.licences import vesting
from marketplace.licences.models import KeyDelivery, LicenceRenewal
from marketplace.licences.selectors.licences import LicenceDisplayState, LicenceView, licence_require, moment
from marketplace.licences.selectors.plans import PlanView, plan_get
from marketplace.licences.tokens import amount_text
from marketplace.licences.vesting import Term

RENEWALS_SHOWN = 20
# `LicenceMarket.SETTLE_AFTER`.
SETTLE_AFTER_S = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class LicenceDetail:
    """A licence as the chain states it at `block`. Amounts are in the smallest unit of its token.

    `view` is the index's side of it. `chain` has `exists` false once the licence was settled, and where the index has
    not noticed yet that it was, or that a re-org took it away: then it is missing.
    """

    view: LicenceView
    plan: PlanView
    chain: LicenceState
    block: Header
    renewals: list[LicenceRenewal]
    delivery: KeyDelivery | None

    @property
    def now(self) -> int:
        """The time of the block, in unix seconds."""
        return self.block.timestamp

    @property
    def state(self) -> LicenceDisplayState:
        """The chain's word where it differs from the index."""
        if not self.chain.exists:
            return "settled" if self.view.settlement is not None else "missing"
        if self.chain.settle_at:
            return "cancelled"
        if self.chain.expires_at and self.chain.expires_at <= self.now:
            return "expired"
        if self.chain.is_suspended:
            return "suspended"
        return "valid"

    @property
    def finality(self) -> Finality:
        """Of the purchase."""
        return self.view.finality

    @property
    def delivery_finality(self) -> Finality | None:
        """Of the newest request for the release key, None where there is none. Only a final one releases the key."""
        return finality_of(self.delivery.event) if self.delivery is not None else None

    @property
    def token(self) -> str:
        return self.plan.plan.token

    @property
    def term(self) -> Term:
        """What the formulas of `vesting` need."""
        state = self.chain
        timed = state.expires_at - state.starts_at if state.expires_at else self.plan.plan.vesting
        return Term(
            amount=state.amount_units,
            floor=state.taken_units,
            starts_at=state.starts_at,
            # Once cancelled, or where nothing is held, the chain states no start.
            duration_s=timed if state.starts_at else 0,
            used=state.used,
            base=state.base,
            calls=state.calls,
        )

    @property
    def amount(self) -> int:
        """What the present term holds against vesting."""
        return self.chain.amount_units

    @property
    def taken(self) -> int:
        """How much of it has become the plan's income."""
        return self.chain.taken_units

    @property
    def vested(self) -> int:
        """How much of it has vested by now."""
        return self.chain.vested_units

    @property
    def use_vested(self) -> int:
        """How much of it the reported calls alone have vested."""
        return max(vesting.vested_by_use(self.term), 0)

    @property
    def refund(self) -> int:
        """What would come back now: what has not vested."""
        return self.amount - self.vested

    def refund_at(self, at: int, *, used: int | None = None) -> int:
        """At least this comes back if the licence is cancelled in a block of time `at` or earlier, not before `now`.

        `used`: if the operator has reported as many calls over the licence's life by then; as many as now without.
        A suspension until then, or a renewal, can only raise it.
        """
        return min(self.refund, vesting.refund(self.term, max(at, self.now), used=used))

    def refund_text_at(self, at: int, *, used: int | None = None) -> str:
        return amount_text(self.refund_at(at, used=used), self.token)

    @property
    def curve(self) -> list[tuple[int, int]]:
        """`(block time, vested)` from the start of the term to its end, for a picture; see `vesting.curve`."""
        return vesting.curve(self.term, now=self.now)

    @property
    def settle_at(self) -> datetime | None:
        """From when a cancelled metered licence is settled; None for any other."""
        return moment(self.chain.settle_at)

    @property
    def is_settleable(self) -> bool:
        """Whether `settle` pays now: cancelled and the time for reports over, or the model suspended for 90 days."""
        if self.chain.settle_at:
            return self.chain.settle_at <= self.now
        long = self.view.suspension is not None and self.now - self.view.suspension.suspended_at >= SETTLE_AFTER_S
        return self.chain.exists and self.chain.is_suspended and long

    @property
    def amount_text(self) -> str:
        return amount_text(self.amount, self.token)

    @property
    def vested_text(self) -> str:
        return amount_text(self.vested, self.token)

    @property
    def refund_text(self) -> str:
        return amount_text(self.refund, self.token)

    @property
    def refund_paid(self) -> int | None:
        """What was paid back when the licence was settled; None before."""
        return self.view.settlement.refund if self.view.settlement is not None else None

    @property
    def refund_paid_text(self) -> str:
        return self.view.refund_text

    @property
    def settled_tx_hash(self) -> str:
        return self.view.settlement.event.tx_hash if self.view.settlement is not None else ""


def licence_detail(licence_id: int) -> LicenceDetail:
    """A licence that the index knows, with its state at the newest block.

    Raises what `licence_require` raises, and what the gateway raises: then `licence_get` has what the index knows.
    """
    view = licence_require(licence_id)
    block, states = entitlements.licence_states_now([licence_id], not_before=chain.index_block())
    return LicenceDetail(
        view=view,
        plan=plan_get(view.plan.plan_id),
        chain=states[licence_id],
        block=block,
        renewals=list(
            LicenceRenewal.objects.filter(licence_id=licence_id)
            .select_related("event")
            .order_by("-event")[:RENEWALS_SHOWN]
        ),
        delivery=KeyDelivery.objects.filter(licence_id=licence_id).select_related("event").order_by("-event").first(),
    )
