"""API keys: create one, see it once, revoke it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import selectors, services
from marketplace.accounts.errors import ApiKeyLimitError
from marketplace.licences import selectors as licences
from marketplace.licences.models import Right
from marketplace.storefront.forms import ApiKeyForm
from marketplace.storefront.throttle import throttled
from models_registry import selectors as registry


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled("key")
def keys(request: HttpRequest) -> HttpResponse:
    """The account's keys. A new key is in the answer to its creation, and in no later one."""
    licences_held = _licences(request)
    form = ApiKeyForm(licences_held, request.POST or None)
    created = None
    if request.method == "POST" and form.is_valid():
        try:
            _, created = services.api_key_create(
                account=request.user,  # type: ignore[arg-type]
                **form.terms(),
            )
            form = ApiKeyForm(licences_held)
        except ApiKeyLimitError as error:
            form.add_error(None, error.message)
    context = {
        "form": form,
        "created": created,
        "keys": selectors.api_key_list(request.user),  # type: ignore[arg-type]
    }
    return render(request, "storefront/keys.html", context, status=422 if form.errors else 200)


def _licences(request: HttpRequest) -> list[tuple[str, str]]:
    """Licences that a key can be bound to: those by the index under which the account may run something now."""
    views = licences.licence_list_for_holder(request.user.address)  # type: ignore[union-attr]
    usable = [view for view in views if view.plan.flags & Right.RUN and view.is_active]
    models = registry.model_get_many({view.licence.model_id for view in usable})
    names = {model_id: model.name for model_id, model in models.items()}
    return [
        (
            str(view.licence.licence_id),
            f"{names.get(view.licence.model_id, view.licence.model_id)}, licence {view.licence.licence_id}",
        )
        for view in usable
    ]


@login_required
@require_POST
def key_revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    row = services.api_key_revoke(account=request.user, prefix=prefix)  # type: ignore[arg-type]
    messages.success(request, f"The key {row.name} (wh_{row.prefix}) is revoked. Calls with it fail from now on.")
    return redirect("keys")
