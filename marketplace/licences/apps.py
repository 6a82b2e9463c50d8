from importlib import import_module

from django.apps import AppConfig


class LicencesConfig(AppConfig):
    name = "marketplace.licences"
    label = "licences"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("marketplace.licences.handlers")
        import_module("marketplace.licences.audit").register_all()
