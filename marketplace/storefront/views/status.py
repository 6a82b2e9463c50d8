"""How current the site's picture of the chain is."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain import selectors as chain


@require_safe
@never_cache
def chain_status(request: HttpRequest) -> HttpResponse:
    """Read from the database alone: this page answers while the node is down."""
    return render(request, "storefront/status.html", {"status": chain.chain_status()})
