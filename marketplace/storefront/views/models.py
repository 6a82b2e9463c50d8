"""The list of models and a model's page."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from marketplace.accounts.models import Account
from marketplace.inference import isolation, trials
from marketplace.licences import selectors as licences
from marketplace.licences.models import Right
from marketplace.licences.selectors import PlanView
from marketplace.storefront.forms import ModelSearchForm, RunForm
from marketplace.storefront.snippets import snippet_of
from models_registry import selectors as registry
from models_registry.runtime.tasks import TASKS
from models_registry.selectors import ModelSummary

PAGE_SIZE = 24
RELEASES_SHOWN = 20
ACTIVITY_SHOWN = 10


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    """Listed models, newest first, by words and task."""
    form = ModelSearchForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {"q": "", "task": ""}
    page = registry.model_list(
        query=wanted["q"], task=wanted["task"], after=request.GET.get("after", ""), limit=PAGE_SIZE
    )
    query = {name: value for name, value in wanted.items() if value}
    context = {
        "form": form,
        "page": page,
        "offers": _offers(page.models),
        "is_filtered": bool(query),
        "is_later_page": "after" in request.GET,
        "first_query": urlencode(query),
        "next_query": urlencode({**query, "after": page.next_cursor}),
    }
    return render(request, "storefront/model_list.html", context)


def _offers(models: list[ModelSummary]) -> dict[int, PlanView]:
    """The first plan on sale of each model: prices in different tokens have no order, the publisher's list does."""
    return licences.plans_on_sale(model.model_id for model in models)


@require_safe
def model_page(request: HttpRequest, model_id: int) -> HttpResponse:
    model = registry.model_get(model_id)
    context = {
        "model": model,
        "releases": registry.release_list_for_model(model_id, limit=RELEASES_SHOWN),
        "release_count": registry.release_count_for_model(model_id),
        "plans": licences.plan_list_for_model(model_id),
        "lineage": registry.lineage_get(model_id),
        "activity": licences.activity_of_model(model_id, limit=ACTIVITY_SHOWN),
        **run_context(request, model),
    }
    return render(request, "storefront/model.html", context)


def _trial_left(request: HttpRequest, model: ModelSummary) -> int:
    """Trial calls that the signed-in account has of the model today."""
    if not isinstance(request.user, Account):
        return 0
    return trials.trial_calls_left(account=request.user, model_id=model.model_id)


def run_context(request: HttpRequest, model: ModelSummary) -> dict[str, Any]:
    """The task, and the licences that the index proposes; the chain decides when the form is sent."""
    spec = TASKS.get(model.task)
    held = []
    if request.user.is_authenticated and spec:
        held = licences.licence_list_for_holder(request.user.address, model_id=model.model_id)
    usable = [view for view in held if view.plan.flags & Right.RUN and view.is_active]
    return {
        "spec": spec,
        "snippet": snippet_of(model.model_id, spec) if spec else "",
        "trials_offered": bool(spec) and trials.trials_are_offered(model.model_id),
        "licences": usable,
        "trial_left": _trial_left(request, model) if spec and not usable else 0,
        "chosen_licence": request.GET.get("licence", ""),
        "run_form": RunForm(spec) if spec else None,
        "is_always_dedicated": isolation.is_always_dedicated(model.model_id),
        "nonce": uuid.uuid4().hex,
    }
