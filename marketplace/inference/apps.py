from importlib import import_module

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "marketplace.inference"
    label = "inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("marketplace.inference.receipts.checks")
