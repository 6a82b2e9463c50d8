from importlib import import_module

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "marketplace.orders"
    label = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("marketplace.orders.handlers")
        import_module("marketplace.orders.audit")
