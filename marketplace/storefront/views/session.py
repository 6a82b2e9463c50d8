"""Signing in and out. The signature itself goes through the API (`/api/v1/session`)."""

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe


@require_safe
def sign_in(request: HttpRequest) -> HttpResponse:
    """The page with the wallets. `next` is followed within this site only."""
    target = next_path(request)
    if request.user.is_authenticated:
        return redirect(target)
    return render(request, "storefront/sign_in.html", {"next": target})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("model-list")


def next_path(request: HttpRequest) -> str:
    """Where to go after signing in: a path of this site, the front page otherwise."""
    target = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts=None) and target.startswith("/")
    return target if is_ours and target != reverse("sign-in") else reverse("model-list")
