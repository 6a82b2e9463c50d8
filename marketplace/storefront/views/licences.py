"""A licence's own page: what has vested, what would come back, renewing, leaving, settling."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain import entitlements
from chain.gateway.errors import ChainError
from marketplace.licences import selectors as licences
from marketplace.licences.models import Right
from marketplace.licences.selectors import LicenceDetail, LicenceView
from marketplace.licences.selectors.licences import moment
from marketplace.storefront import leaving
from marketplace.storefront.calls import cancel_call
from models_registry import selectors as registry

_LEADS = {
    "valid": "The chain says that it is valid.",
    "expired": "Its time is over. It runs nothing any more.",
    "suspended": "The market's guardian suspended the model: no runs, no sales, and the licence's time stands still.",
    "cancelled": "Its holder ended it. What has not vested is paid when it is settled.",
    "settled": "It is over: its token is burned and what had not vested was paid.",
    "missing": "The chain's newest block does not have it: it was settled just now, or a re-organisation of the chain "
    "took its purchase away. The index will say which in a moment.",
}


@never_cache
@require_safe
def licence_page(request: HttpRequest, licence_id: int) -> HttpResponse:
    """For anybody: all of it is on chain. Only the holder is offered to leave, and nobody signs without signing in."""
    view = licences.licence_require(licence_id)
    try:
        detail = licences.licence_detail(licence_id)
    except ChainError as error:
        context = _facts(request, view, view.state)
        failure = f"The money is asked of the chain, and that failed: {error.message}"
        return render(request, "storefront/licence.html", context | {"chain_error": failure})
    return render(request, "storefront/licence.html", _facts(request, view, detail.state) | _money(request, detail))


@never_cache
@require_safe
def licence_refund(request: HttpRequest, licence_id: int) -> HttpResponse:
    """The fragment with the refund, which htmx asks for again: what is stated should be what holds."""
    refund = leaving.refund_of(licences.licence_detail(licence_id))
    return render(request, "storefront/parts/refund.html", {"refund": refund, "licence_id": licence_id})


@login_required
@never_cache
@require_safe
def licence_cancel(request: HttpRequest, licence_id: int) -> HttpResponse:
    """The step between wanting to leave and the wallet. Whoever is not the holder is sent to the licence's page."""
    detail = licences.licence_detail(licence_id)
    refund = leaving.refund_of(detail)
    address = request.user.address  # type: ignore[union-attr]
    if refund is None or detail.chain.owner != address:
        return redirect("licence", licence_id)
    context = {
        "licence_id": licence_id,
        "model_name": _model_name(detail.view),
        "refund": refund,
        "lines": leaving.cancel_lines(detail),
        "holder": address,
        "call": cancel_call(licence_id, holder=address, label="Cancel the licence for good"),
    }
    return render(request, "storefront/licence_cancel.html", context)


def _facts(request: HttpRequest, view: LicenceView, state: str) -> dict[str, Any]:
    """What the index knows; the page shows it while the node is down, too."""
    address = request.user.address if request.user.is_authenticated else ""
    word, look = leaving.STATE_WORDS[state]
    settled = view.settlement
    is_valid = state == "valid"
    return {
        "licence_id": view.licence.licence_id,
        "model_name": _model_name(view),
        "plan": view.plan,
        "state": state,
        "state_word": word,
        "look": look,
        "lead": _LEADS[state],
        "finality": view.finality,
        "purchase": view.licence.event,
        "expires_at": view.expires_at,
        "holder": "" if settled else view.holder,
        "is_holder": not settled and view.holder == address,
        "can_run": is_valid and view.holder == address and bool(view.plan.flags & Right.RUN),
        "calls_words": f"{view.used} of {view.calls} reported on chain",
        "settled": _settled(view),
        "pace": licences.licence_limits(view.plan.plan_id).text if view.plan.flags & Right.RUN else "",
        "limits": licences.plan_get(view.plan.plan_id).limits,
    }


def _settled(view: LicenceView) -> dict[str, Any] | None:
    if view.settlement is None:
        return None
    event = view.settlement.event
    return {
        "refund_text": view.refund_text,
        "to": view.settlement.to_address,
        "at": event.block_time,
        "block_number": event.block_number,
        "tx_hash": event.tx_hash,
    }


def _money(request: HttpRequest, detail: LicenceDetail) -> dict[str, Any]:
    """What the chain says. A licence that was settled has nothing more to say."""
    state = detail.chain
    if not state.exists:
        return {}
    address = request.user.address if request.user.is_authenticated else ""
    is_holder = state.owner == address
    counted = leaving.calls_counted(detail)
    is_paused = entitlements.market_settings(detail.block).is_paused
    return {
        "money": leaving.money_of(detail),
        "picture": leaving.picture_of(detail),
        "refund": leaving.refund_of(detail) if detail.amount else None,
        "settlement": _for_signed_in(request, leaving.settlement_of(detail)),
        "renewal": _for_signed_in(request, leaving.renewal_of(detail, is_paused=is_paused)),
        "leave_words": leaving.leave_words(detail) if is_holder and not state.settle_at else "",
        "is_holder": is_holder,
        "holder": state.owner,
        "expires_at": moment(state.expires_at),
        "calls_words": f"{counted} of {state.calls} used, {state.used} of them reported on chain",
        "delivery": detail.delivery,
        "delivery_finality": detail.delivery_finality,
        "operator_words": detail.plan.operator_text if state.calls else "",
    }


def _for_signed_in(request: HttpRequest, step: leaving.Step | None) -> leaving.Step | None:
    """Without a signed-in address there is nobody to sign for."""
    if step is None or step.call is None or request.user.is_authenticated:
        return step
    return leaving.Step(step.words, refusal="Sign in to do this.")


def _model_name(view: LicenceView) -> str:
    model = registry.model_get_many([view.licence.model_id]).get(view.licence.model_id)
    return model.name if model else f"model {view.licence.model_id}"
