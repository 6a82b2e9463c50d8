"""What the signed-in address holds: licences, and models with their income."""

from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chain.gateway.errors import ChainError
from marketplace.inference import selectors as inference
from marketplace.inference.selectors import CallsUsed
from marketplace.licences import selectors as licences
from marketplace.licences.models import Right
from marketplace.licences.selectors import IncomeView, LicenceView, PlanView
from marketplace.licences.tokens import token_list
from marketplace.orders import selectors as orders
from marketplace.orders.models import Order, OrderKind
from marketplace.storefront.progress import OrderProgress, order_progress
from models_registry import selectors as registry
from models_registry.selectors import ModelSummary

ORDERS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LicenceRow:
    """A licence with what its row on the page says about it."""

    view: LicenceView
    model_name: str
    calls_left: int | None

    @property
    def can_run(self) -> bool:
        has_calls = self.calls_left is None or self.calls_left > 0
        return bool(self.view.plan.flags & Right.RUN) and self.view.state != "expired" and has_calls


@dataclass(frozen=True, slots=True)
class OwnedModel:
    """A model with what only its owner sees. `income_error` says why the chain could not be asked."""

    model: ModelSummary
    plans: list[PlanView]
    income: list[IncomeView]
    income_error: str


@login_required
@require_safe
def my_licences(request: HttpRequest) -> HttpResponse:
    """Licences of the signed-in address, and purchases that the index has not seen yet."""
    address = request.user.address  # type: ignore[union-attr]
    views = licences.licence_list_for_holder(address)
    context = {"licences": _licence_rows(views), "orders": _orders_open(request)}
    return render(request, "storefront/licences.html", context)


def _licence_rows(views: list[LicenceView]) -> list[LicenceRow]:
    models = registry.model_get_many({view.licence.model_id for view in views})
    used = inference.calls_used({view.licence.licence_id: view.licence.event.tx_hash for view in views})
    rows = []
    for view in views:
        model = models.get(view.licence.model_id)
        use = used.get(view.licence.licence_id, CallsUsed(0, 0))
        name = model.name if model else f"Model {view.licence.model_id}"
        rows.append(LicenceRow(view, name, use.left(view.licence.calls)))
    return rows


def _orders_open(request: HttpRequest) -> list[tuple[Order, OrderProgress]]:
    """The newest purchases that the index has not seen."""
    rows = orders.order_list(request.user).filter(kind=OrderKind.BUY, event=None)[:ORDERS_SHOWN]  # type: ignore[arg-type]
    return [(order, order_progress(order)) for order in rows]


@login_required
@require_safe
def my_models(request: HttpRequest) -> HttpResponse:
    """Models of the signed-in address: releases, plans, income."""
    ids = registry.model_ids_owned_by(request.user.address)  # type: ignore[union-attr]
    models = registry.model_get_many(ids)
    owned = [_owned(models[model_id]) for model_id in reversed(ids) if model_id in models]
    return render(request, "storefront/my_models.html", {"models": owned, "tokens": token_list()})


def _owned(model: ModelSummary) -> OwnedModel:
    plans = licences.plan_list_for_model(model.model_id, with_retired=True)
    try:
        return OwnedModel(model, plans, licences.income_for_model(model.model_id), "")
    except ChainError as error:
        return OwnedModel(model, plans, [], f"Income is asked of the chain, and that failed: {error.message}")
