"""Fragments that follow an order until the indexer saw its log, and until that is final."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace.orders import selectors
from marketplace.storefront.progress import order_progress

NOT_CHANGED = 204


@login_required
@never_cache
@require_safe
def order_state(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The order as it stands. A poll that saw the same state gets no content, so nothing is announced twice."""
    order = selectors.order_get(account=request.user, order_id=order_id)  # type: ignore[arg-type]
    order, shown = order_progress(order)
    if request.GET.get("seen") == shown.key and shown.is_open:
        return HttpResponse(status=NOT_CHANGED)
    return render(request, "storefront/parts/order.html", {"order": order, "shown": shown})
