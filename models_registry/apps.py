from django.apps import AppConfig


class ModelsRegistryConfig(AppConfig):
    name = "models_registry"
    label = "models_registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from models_registry import audit  # noqa: F401, PLC0415 - registers itself, needs the apps to be loaded
        from models_registry.handlers import register_all  # noqa: PLC0415 - needs the apps to be loaded

        register_all()
