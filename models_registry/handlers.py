"""Which of the chain's events the registry follows."""

from chain.handlers import on_rebuilt, register
from models_registry import services
from models_registry.models import Release


def register_all() -> None:
    """Register the handlers; called once the apps are loaded. Models and owners come before what names them."""
    register("ModelRegistry", "ModelPublished")(services.models_published)
    register("ModelRegistry", "Transfer")(services.models_transferred)
    register("ModelRegistry", "ReleasePublished")(services.releases_published)
    register("ModelRegistry", "LineageStored")(services.lineages_stored)
    register("ModelRegistry", "DerivativeBpsSet")(services.derivative_bps_set)
    on_rebuilt(services.announcements_link, Release)
