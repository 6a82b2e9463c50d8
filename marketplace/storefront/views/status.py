"""How current the site's picture of the chain is."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from chain.status import site_status
from marketplace.api_status import StatusSerializer, status_code


@require_safe
@never_cache
@vary_on_headers("Accept")
def chain_status(request: HttpRequest) -> HttpResponse:
    """A page, or JSON where that is asked for. Read from the database alone: it answers while the node is down."""
    status = site_status()
    code = status_code(status, strict=request.GET.get("strict", ""))
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return JsonResponse(StatusSerializer(status).data, status=code)
    return render(request, "storefront/status.html", {"site": status, "status": status.stream}, status=code)
