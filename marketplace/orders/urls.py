"""URLs of `/api/v1/` that are about orders."""

from django.urls import path

from marketplace.orders import api

urlpatterns = [
    path("orders", api.OrderListView.as_view(), name="api-orders"),
    path("orders/<uuid:order_id>", api.OrderView.as_view(), name="api-order"),
]
