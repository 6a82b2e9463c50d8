"""What the signed-in address holds: licences, and models with their income."""

from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from weighhouse.core.errors import WeighhouseError

from chain import selectors as chain
from chain.gateway.errors import ChainError
from chain.removals import removals_of_purchases
from marketplace.accounts.models import Account
from marketplace.inference import isolation, trials
from marketplace.inference import selectors as inference
from marketplace.inference.selectors import CallsUsed
from marketplace.licences import selectors as licences
from marketplace.licences.models import Right
from marketplace.licences.selectors import IncomeView, LicenceView, PlanView
from marketplace.licences.tokens import token_list
from marketplace.orders import selectors as orders
from marketplace.orders.models import Order, OrderKind
from marketplace.storefront.calls import WalletCall, retire_call
from marketplace.storefront.income import IncomePicture, income_picture
from marketplace.storefront.leaving import STATE_WORDS
from marketplace.storefront.progress import OrderProgress, orders_progress
from models_registry import selectors as registry
from models_registry.selectors import Lineage, ModelSummary

ORDERS_SHOWN = 5
LICENCES_PER_PAGE = 50
SETTLED_SHOWN = 20
REMOVED_SHOWN = 5
MODELS_PER_PAGE = 10
PAGE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class LicenceRow:
    """A licence with what its row on the page says about it."""

    view: LicenceView
    model_name: str
    calls_left: int | None

    @property
    def word(self) -> str:
        return STATE_WORDS[self.view.state][0]

    @property
    def look(self) -> str:
        return STATE_WORDS[self.view.state][1]

    @property
    def can_run(self) -> bool:
        has_calls = self.calls_left is None or self.calls_left > 0
        return bool(self.view.plan.flags & Right.RUN) and self.view.is_active and has_calls


@dataclass(frozen=True, slots=True)
class OwnedModel:
    """A model with what only its owner sees. `income_error` says why the chain could not be asked."""

    model: ModelSummary
    plans: list[tuple[PlanView, WalletCall]]
    income: list[IncomePicture]
    income_error: str
    lineage: Lineage
    # None where the site has no trials at all.
    trials_offered: bool | None
    requires_dedicated: bool


@login_required
@require_safe
def my_licences(request: HttpRequest) -> HttpResponse:
    """Licences of the signed-in address, and purchases that the index has not seen yet."""
    address = request.user.address  # type: ignore[union-attr]
    page = _page(request)
    start = (page - 1) * LICENCES_PER_PAGE
    views = licences.licence_list_for_holder(address, first=start, limit=LICENCES_PER_PAGE + 1)
    context = {
        "licences": _licence_rows(views[:LICENCES_PER_PAGE]),
        "orders": _orders_open(request) if page == 1 else [],
        "settled": _licence_rows(licences.licence_list_settled(address, limit=SETTLED_SHOWN)) if page == 1 else [],
        "removed": _removed_texts(address) if page == 1 else [],
        "is_later_page": page > 1,
        "next_page": page + 1 if len(views) > LICENCES_PER_PAGE else None,
    }
    return render(request, "storefront/licences.html", context)


def _removed_texts(address: str) -> list[str]:
    """What became of purchases that a re-org removed."""
    return [removal.text("purchase") for removal in removals_of_purchases(address, limit=REMOVED_SHOWN)]


def _licence_rows(views: list[LicenceView]) -> list[LicenceRow]:
    models = registry.model_get_many({view.licence.model_id for view in views})
    used = inference.calls_used({view.licence.licence_id: view.licence.event.tx_hash for view in views})
    rows = []
    for view in views:
        model = models.get(view.licence.model_id)
        use = used.get(view.licence.licence_id, CallsUsed(0, 0))
        name = model.name if model else f"Model {view.licence.model_id}"
        rows.append(LicenceRow(view, name, use.left(view.calls)))
    return rows


def _orders_open(request: HttpRequest) -> list[tuple[Order, OrderProgress]]:
    """The newest purchases that the index has not seen."""
    rows = orders.order_list_on_its_way(request.user, kind=OrderKind.BUY)[:ORDERS_SHOWN]  # type: ignore[arg-type]
    return orders_progress(list(rows))


@login_required
@require_safe
def my_models(request: HttpRequest) -> HttpResponse:
    """Models of the signed-in address: releases, plans, income."""
    address = request.user.address  # type: ignore[union-attr]
    ids = registry.model_ids_owned_by(address)[::-1]
    page = _page(request)
    shown = ids[(page - 1) * MODELS_PER_PAGE : page * MODELS_PER_PAGE]
    models = registry.model_get_many(shown)
    context = {
        "models": _owned([models[model_id] for model_id in shown if model_id in models], owner=address),
        "tokens": token_list(),
        "site_is_dedicated": settings.RUNNER_DEDICATED,
        "is_later_page": page > 1,
        "next_page": page + 1 if len(ids) > page * MODELS_PER_PAGE else None,
        **_plan_form(address),
    }
    return render(request, "storefront/my_models.html", context)


@login_required
@require_POST
def model_trials(request: HttpRequest, model_id: int) -> HttpResponse:
    """The owner of a model allows or refuses trials of it."""
    trials.trials_allow(
        account=cast(Account, request.user), model_id=model_id, allowed=request.POST.get("allowed") == "1"
    )
    return redirect(f"{reverse('my-models')}#model-{model_id}")


@login_required
@require_POST
def model_isolation(request: HttpRequest, model_id: int) -> HttpResponse:
    """The owner of a model requires dedicated runners for it, or leaves that to the buyers."""
    isolation.isolation_require(
        account=cast(Account, request.user), model_id=model_id, required=request.POST.get("dedicated") == "1"
    )
    return redirect(f"{reverse('my-models')}#model-{model_id}")


def _owned(models: list[ModelSummary], *, owner: str) -> list[OwnedModel]:
    """Plans and income of a page of models; the chain is asked once for all of them."""
    income: dict[int, list[IncomeView]] = {}
    failure = ""
    try:
        income = licences.income_for_models(model.model_id for model in models)
    except ChainError as error:
        failure = f"Income is asked of the chain, and that failed: {error.message}"
    return [
        OwnedModel(
            model,
            _plans(model.model_id),
            [income_picture(view, owner=owner) for view in income.get(model.model_id, [])],
            failure,
            registry.lineage_get(model.model_id),
            trials.trials_are_offered(model.model_id) if trials.site_has_trials() else None,
            isolation.is_required(model.model_id),
        )
        for model in models
    ]


def _plans(model_id: int) -> list[tuple[PlanView, WalletCall]]:
    views = licences.plan_list_for_model(model_id, with_retired=True)
    return [(view, retire_call(view.plan)) for view in views]


def _plan_form(address: str) -> dict[str, Any]:
    """What the form of a new plan offers: the protocol's fee of now, this site's operator, the publisher's own."""
    try:
        fee_bps, site_operator_id = chain.market_settings().fee_bps, chain.site_operator_id()
    except WeighhouseError as error:
        return {"plan_form_error": f"Plans cannot be added now: {error.message}"}
    return {
        "fee_bps": fee_bps,
        "site_operator_id": site_operator_id,
        "own_operators": [row for row in licences.operator_list_for_owner(address) if not row.is_disabled],
    }


def _page(request: HttpRequest) -> int:
    """The page that `?page=` names, the first for anything that is none."""
    given = request.GET.get("page", "")
    number = int(given) if given.isascii() and given.isdecimal() and len(given) <= PAGE_DIGITS else 1
    return max(number, 1)
