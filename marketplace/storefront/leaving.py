"""A licence's money in words: what has vested, what would come back, what renewing and settling do.

All figures come from the chain's state at one block (`licences.LicenceDetail`); nothing here decides anything.
"""

from dataclasses import dataclass
from datetime import datetime

from chain import selectors as chain
from marketplace.inference import selectors as inference
from marketplace.licences.selectors import LicenceDetail
from marketplace.licences.selectors.licences import moment
from marketplace.licences.tokens import amount_text
from marketplace.storefront.calls import WalletCall, renew_call, settle_call
from marketplace.storefront.drawing import VestingPicture, vesting_picture

# A refund is promised for as long as it takes to read, sign and be mined.
PROMISE_S = 600
MINUTE_S = 60
# `SETTLE_AFTER` of the market: how long a model has to be suspended before anybody may settle its licences.
SETTLE_AFTER_S = 90 * 86_400
# A licence's state in a word, and how it looks.
STATE_WORDS = {
    "valid": ("valid", "ok"),
    "expired": ("expired", "bad"),
    "suspended": ("suspended", "warn"),
    "cancelled": ("cancelled", "warn"),
    "settled": ("settled", ""),
    "missing": ("not on chain now", "warn"),
}


@dataclass(frozen=True, slots=True)
class Refund:
    """What would come back: exactly in the newest block, and at least until `until`. `condition` qualifies that."""

    title: str
    now: int
    now_text: str
    block_number: int
    block_unix: int
    least: int
    least_text: str
    until_unix: int
    condition: str

    @property
    def block_at(self) -> datetime | None:
        return moment(self.block_unix)

    @property
    def until(self) -> datetime | None:
        return moment(self.until_unix)


@dataclass(frozen=True, slots=True)
class Money:
    """The figures beside the picture, as texts."""

    amount_text: str
    vested_text: str
    refund_text: str
    by_use_text: str
    use_words: str
    now_words: str
    words: str
    starts_at: datetime | None
    ends_at: datetime | None
    ends_word: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something that may be done with the licence: what it does, the call, and why not where there is none."""

    words: str
    call: WalletCall | None = None
    refusal: str = ""


def calls_counted(detail: LicenceDetail) -> int:
    """Calls used over the licence's life: as reported on chain, or as this site has counted, whichever is more."""
    licence = detail.view.licence
    here = inference.calls_used({licence.licence_id: licence.event.tx_hash}).get(licence.licence_id)
    return min(max(detail.chain.used, here.used if here else 0), detail.chain.calls) if detail.chain.calls else 0


def refund_of(detail: LicenceDetail) -> Refund | None:
    """The statement before somebody signs a cancellation; `None` where nothing can be cancelled any more."""
    if not detail.chain.exists or detail.chain.settle_at:
        return None
    until = _next_minute(max(detail.now, detail.view.now) + PROMISE_S)
    counted = calls_counted(detail)
    condition = ""
    if detail.chain.calls:
        condition = f", unless the operator reports more than the {counted} calls that were counted so far"
    return Refund(
        title="If you cancel now, this comes back",
        now=detail.refund,
        now_text=detail.refund_text,
        block_number=detail.chain.block_number,
        block_unix=detail.now,
        least=detail.refund_at(until, used=counted),
        least_text=detail.refund_text_at(until, used=counted),
        until_unix=until,
        condition=condition,
    )


def money_of(detail: LicenceDetail) -> Money:
    term = detail.term
    plan = detail.plan.plan
    calls = detail.chain.calls
    return Money(
        amount_text=detail.amount_text,
        vested_text=detail.vested_text,
        refund_text=detail.refund_text,
        by_use_text=amount_text(detail.use_vested, detail.token),
        use_words=f"{detail.chain.used - detail.chain.base} of {calls - detail.chain.base} calls of this term reported",
        now_words=_now_words(detail),
        words=_words(detail),
        starts_at=moment(term.starts_at),
        ends_at=moment(term.ends_at),
        ends_word="expires" if plan.period else "all vested",
    )


def picture_of(detail: LicenceDetail) -> VestingPicture | None:
    by_use = detail.use_vested if detail.chain.calls else None
    return vesting_picture(detail.curve, amount=detail.amount, now=detail.now, by_use=by_use)


def _now_words(detail: LicenceDetail) -> str:
    now = moment(detail.now)
    return f"Block {detail.chain.block_number}, {now:%-d %b %Y, %H:%M:%S} UTC" if now else ""


def _words(detail: LicenceDetail) -> str:
    """One or two sentences on how it goes on."""
    if not detail.amount:
        return "The whole price was the publisher's at the purchase: nothing is held, and cancelling pays nothing back."
    if detail.chain.settle_at:
        return f"Cancelled: time vests nothing more. Of {detail.amount_text}, {detail.refund_text} has not vested."
    if detail.vested == detail.amount:
        return f"All of the {detail.amount_text} has vested: nothing would come back."
    if detail.chain.is_suspended:
        return "The model is suspended: its clock stands, nothing vests by time, and the expiry moves on with it."
    entry = "" if not detail.plan.plan.entry_bps else f" {detail.plan.entry_share_text} of each payment vests at once."
    return f"It vests {detail.plan.vesting_text}.{entry}"


def renewal_of(detail: LicenceDetail, *, is_paused: bool) -> Step | None:
    """Renewing: what it costs and what becomes of the rest. `None` where the plan has none, or it is over."""
    plan = detail.plan.plan
    if not plan.is_renewable or not detail.chain.exists or detail.chain.settle_at:
        return None
    held = plan.price - plan.entry
    parts = [f"Another term costs {detail.plan.price_text}." if plan.price else "Another term is free."]
    if held and detail.refund:
        both = amount_text(held + detail.refund, detail.token)
        parts.append(
            f"What has not vested by then, {detail.refund_text} now, is not lost: it is held on together with "
            f"{amount_text(held, detail.token)} of the new price, about {both} that vest over the new term."
        )
    elif held:
        parts.append(f"{amount_text(held, detail.token)} of it is held for you and vests over the new term.")
    if plan.period:
        ends = moment(max(detail.now, detail.chain.expires_at) + plan.period)
        parts.append(f"It would then expire on {ends:%-d %b %Y, %H:%M} UTC." if ends else "")
    if plan.calls:
        parts.append(f"It adds {plan.calls} calls.")
    words = " ".join(part for part in parts if part)
    refusal = _renewal_refusal(detail, is_paused=is_paused)
    if refusal:
        return Step(words, refusal=refusal)
    return Step(words, renew_call(detail.chain.licence_id, plan, price_text=detail.plan.price_text))


def _renewal_refusal(detail: LicenceDetail, *, is_paused: bool) -> str:
    if detail.plan.is_retired:
        return "The publisher retired this plan: it is not renewed any more. The licence goes on to its end."
    if detail.chain.is_suspended:
        return "The model is suspended: nothing is renewed until that ends."
    return "Renewing is paused at the market. Try again later." if is_paused else ""


def settlement_of(detail: LicenceDetail) -> Step | None:
    """Settling a cancelled metered licence, or one whose model has been suspended for 90 days."""
    state = detail.chain
    if not state.exists:
        return None
    call = settle_call(state.licence_id, holder=state.owner, refund_text=detail.refund_text)
    if state.settle_at:
        at = moment(state.settle_at)
        if detail.is_settleable:
            return Step(f"The time for reports is over: {detail.refund_text} can be paid to the holder now.", call)
        return Step(
            f"The operator may report calls until {at:%-d %b %Y, %H:%M:%S} UTC. From then on the refund can be settled "
            f"here: {detail.refund_text}, less what calls reported until then vest."
        )
    if state.is_suspended and _is_suspended_for_long(detail):
        return Step("The model has been suspended for 90 days: anybody may have this refund paid to its holder.", call)
    return None


def _is_suspended_for_long(detail: LicenceDetail) -> bool:
    clock = chain.model_clocks([detail.chain.model_id]).get(detail.chain.model_id)
    return clock is not None and bool(clock.suspended_at) and detail.now - clock.suspended_at >= SETTLE_AFTER_S


def leave_words(detail: LicenceDetail) -> str:
    """What cancelling means here, in a sentence or two."""
    if detail.plan.plan.calls:
        return (
            "You may leave at any time. The licence ends at once; the operator may report calls for six more hours, "
            "and then what has not vested comes back."
        )
    return "You may leave at any time, asking nobody. The licence ends at once and what has not vested comes back."


def cancel_lines(detail: LicenceDetail) -> list[str]:
    """What a person should know before the wallet opens."""
    lines = ["The licence ends at once: it runs nothing any more, and cannot be passed on."]
    if detail.plan.plan.calls:
        lines.append(
            "Its calls are counted: the operator may still report some for six hours. After that you, or anybody for "
            "you, settle it on the licence's page, and the rest is paid."
        )
    else:
        lines.append("The money is paid in the same transaction, and the token is burned.")
    if detail.vested:
        lines.append(f"{detail.vested_text} has vested by now and stays with the publisher.")
    if not detail.refund:
        lines.append("Nothing comes back: all that was held has vested.")
    return lines


def _next_minute(at: int) -> int:
    return -(-at // MINUTE_S) * MINUTE_S
