"""What happened on chain, for people: on the whole market, to a model, and by or to an address."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain.explorer_links import explorer_url
from chain.models import Topic
from marketplace.licences import selectors as licences
from marketplace.licences.selectors import ActivityPage
from models_registry import selectors as registry

MODELS_SHOWN = 20


@never_cache
@require_safe
def market_activity(request: HttpRequest) -> HttpResponse:
    page = licences.activity_of_market(**_asked(request))
    return render(request, "storefront/activity.html", _feed(request, page))


@never_cache
@require_safe
def model_activity(request: HttpRequest, model_id: int) -> HttpResponse:
    model = registry.model_get(model_id)
    page = licences.activity_of_model(model_id, **_asked(request))
    return render(request, "storefront/activity.html", {"model": model, **_feed(request, page)})


@never_cache
@require_safe
def account_page(request: HttpRequest, address: str) -> HttpResponse:
    """An address and what the chain says about it. Any address has a page: nobody has to be known here."""
    owned = registry.model_ids_owned_by(address)[::-1]
    models = registry.model_get_many(owned[:MODELS_SHOWN])
    page = licences.activity_of_account(address, **_asked(request))
    context = {
        "address": address,
        "explorer_url": explorer_url("address", address),
        "models": [models[model_id] for model_id in owned[:MODELS_SHOWN] if model_id in models],
        "model_count": len(owned),
        **_feed(request, page),
    }
    return render(request, "storefront/account.html", context)


def _asked(request: HttpRequest) -> dict[str, Any]:
    """The kind and the cursor that the address names; a kind that is none means all of them."""
    return {"topic": _topic(request), "after": request.GET.get("after", "")}


def _topic(request: HttpRequest) -> Topic | None:
    named = request.GET.get("kind", "")
    return next((topic for topic in Topic if topic.label == named), None)


def _feed(request: HttpRequest, page: ActivityPage) -> dict[str, Any]:
    topic = _topic(request)
    query = {"kind": topic.label} if topic is not None else {}
    return {
        "entries": page.entries,
        "kinds": [topic.label for topic in Topic],
        "kind": topic.label if topic is not None else "",
        "is_later_page": bool(request.GET.get("after")),
        "first_query": urlencode(query),
        "next_query": urlencode({**query, "after": page.next_cursor}) if page.next_cursor else "",
    }
