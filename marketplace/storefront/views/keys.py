"""API keys: create one, see it once, revoke it."""

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.accounts import selectors, services
from marketplace.accounts.errors import ApiKeyLimitError
from marketplace.storefront.forms import ApiKeyForm
from marketplace.storefront.throttle import throttled


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled("key")
def keys(request: HttpRequest) -> HttpResponse:
    """The account's keys. A new key is in the answer to its creation, and in no later one."""
    form = ApiKeyForm(request.POST or None)
    created = None
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["days"]
        try:
            _, created = services.api_key_create(
                account=request.user,  # type: ignore[arg-type]
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
            form = ApiKeyForm()
        except ApiKeyLimitError as error:
            form.add_error(None, error.message)
    context = {
        "form": form,
        "created": created,
        "keys": selectors.api_key_list(request.user),  # type: ignore[arg-type]
    }
    return render(request, "storefront/keys.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def key_revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    row = services.api_key_revoke(account=request.user, prefix=prefix)  # type: ignore[arg-type]
    messages.success(request, f"The key {row.name} (wh_{row.prefix}) is revoked. Calls with it fail from now on.")
    return redirect("keys")
