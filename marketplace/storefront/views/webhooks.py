"""Webhook endpoints of the account: make one, switch it, give it a new secret, delete it, see what it was told."""

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from weighhouse.core.errors import WeighhouseError

from chain.outgoing import OutgoingError
from marketplace.accounts.models import Account
from marketplace.storefront.forms import WebhookForm
from marketplace.storefront.throttle import throttled
from marketplace.webhooks import selectors, services
from marketplace.webhooks.errors import WebhookLimitError

LOG_ENTRIES = 50
UNPROCESSABLE = 422


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled("webhook")
def webhooks(request: HttpRequest) -> HttpResponse:
    """The account's endpoints. A new secret is in the answer that made it, and in no later one."""
    form = WebhookForm(request.POST or None)
    secret = None
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            _, secret = services.endpoint_create(account=_account(request), url=given["url"], kinds=given["events"])
            form = WebhookForm()
        except (OutgoingError, WebhookLimitError) as error:
            form.add_error("url", cast(WeighhouseError, error).message)
    return _page(request, form, secret)


@login_required
@never_cache
@require_POST
@throttled("webhook")
def webhook_secret(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    _, secret = services.endpoint_secret_rotate(account=_account(request), endpoint_id=endpoint_id)
    return _page(request, WebhookForm(), secret)


@login_required
@require_POST
def webhook_switch(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """Switch an endpoint on or off, as the form says."""
    is_enabled = request.POST.get("to") == "on"
    services.endpoint_change(account=_account(request), endpoint_id=endpoint_id, is_enabled=is_enabled)
    messages.success(request, f"The endpoint is switched {'on' if is_enabled else 'off'}.")
    return redirect("webhooks")


@login_required
@require_POST
def webhook_delete(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    services.endpoint_delete(account=_account(request), endpoint_id=endpoint_id)
    messages.success(request, "The endpoint and its log are deleted.")
    return redirect("webhooks")


@login_required
@never_cache
@require_safe
def webhook_page(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """What one endpoint was told lately."""
    endpoint = selectors.endpoint_get(account=_account(request), endpoint_id=endpoint_id)
    context = {"endpoint": endpoint, "deliveries": selectors.delivery_list(endpoint)[:LOG_ENTRIES]}
    return render(request, "storefront/webhook.html", context)


@login_required
@require_POST
@throttled("webhook")
def webhook_resend(request: HttpRequest, endpoint_id: UUID, event_id: str) -> HttpResponse:
    services.delivery_resend(account=_account(request), endpoint_id=endpoint_id, event_id=event_id)
    messages.success(request, "The event is sent again.")
    return redirect("webhook", endpoint_id)


def _page(request: HttpRequest, form: WebhookForm, secret: str | None) -> HttpResponse:
    context = {"form": form, "secret": secret, "endpoints": selectors.endpoint_list(_account(request))}
    return render(request, "storefront/webhooks.html", context, status=UNPROCESSABLE if form.errors else 200)


def _account(request: HttpRequest) -> Account:
    return cast(Account, request.user)
